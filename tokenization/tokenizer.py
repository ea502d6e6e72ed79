r"""Byte-level BPE for source code, and the alignment of its tokens with identifiers.

`train_tokenizer` learns a tokenizer that keeps these promises wherever `AutoTokenizer` loads it, without this package:

* `<|endoftext|>` is 0, `<mask>` is 1, `<pad>` is 2; decoding gives back every text exactly.
* Every input ends with `<|endoftext|>`, also when it is truncated (the model averages over all tokens, this one too).
* The text `<|endoftext|>` or `<mask>` in a source file is text; `split_special_tokens=False` has it read as a token.
* A token that touches an identifier holds nothing else than (parts of) that identifier and white space.

The last promise makes deobfuscation exact: masking an identifier never masks its neighbours. The paper (appendix A.5)
reaches it by tokenizing every identifier on its own; here it follows from where words may be split, so that training
and inference see the same tokens. (One exception: a name spelled with Unicode escapes, such as `\u0061`.)
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from .identifiers import Identifier

END, MASK, PAD = "<|endoftext|>", "<mask>", "<pad>"
"""The special tokens, in the order of their ids 0, 1, 2."""

_WORD = r"\p{L}\p{M}\p{Pc}"
# No run is longer than this: without a bound the regular-expression engine gives up (and panics) in runs of millions.
_RUN = "{1,1000}"
_PIECES = (
    # Letters, combining marks and underscores are one class: `__init__(` is `__init__` and `(`.
    rf" ?[{_WORD}]{_RUN}",
    # White space, less a last space that belongs to what follows: "\n    return" is "\n   " and " return".
    rf"(?:(?! [^\s\p{{N}}])\s){_RUN}",
    r"\p{N}",
    # Ruby names end in ? or !, so these stand alone after a name.
    rf"(?<=[{_WORD}\p{{N}}])[?!]",
    # The sigils of PHP, Ruby, JavaScript and C#: "#@name", "$$name". Only # is gathered, for rules in comments.
    " ?[$@]",
    f" ?#{_RUN}",
    # Other ASCII, then other characters beyond ASCII (symbols, emoji), which some languages allow in names.
    rf" ?[^\s{_WORD}\p{{N}}$@#{chr(0x80)}-{chr(0x10FFFF)}]{_RUN}",
    rf" ?[^\s{_WORD}\p{{N}}\x00-\x7F]{_RUN}",
)


def train_tokenizer(texts: Iterable[str], vocab_size: int, model_max_length: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE vocabulary from source files.

    The same texts in the same order give the same files, byte for byte.

    Args:
        texts: Whole source files.
        vocab_size: Number of tokens, special tokens and the 256 bytes included. Little text gives fewer.
        model_max_length: Number of tokens, the end token included, to which `truncation=True` cuts.

    Returns:
        A tokenizer whose `save_pretrained` writes `tokenizer.json` and `tokenizer_config.json` and nothing else.

    Raises:
        ValueError: If the vocabulary cannot hold the bytes and special tokens, if nothing fits beside the end token,
            or if there is no text.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = (END, MASK, PAD)
    if vocab_size < len(alphabet) + len(special):
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes and {len(special)} special tokens need {256 + len(special)}."
        )
    if model_max_length < 2:
        raise ValueError(f"model_max_length is {model_max_length}: one token and the end token need at least 2.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("|".join(_PIECES)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    count = 0

    def counted() -> Iterable[str]:
        nonlocal count
        for text in texts:
            count += bool(text)
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if not count:
        raise ValueError("There is no text to learn a vocabulary from: the corpus is empty or was filtered away.")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, 0)]
    )
    return wrap_tokenizer(tokenizer, model_max_length, split_special_tokens=True)


def wrap_tokenizer(tokenizer: Tokenizer, model_max_length: int, **options: Any) -> PreTrainedTokenizerFast:
    """Give a byte-level tokenizer that ends every text with `<|endoftext|>` the settings that all of ours share.

    Args:
        tokenizer: holds the three special tokens.
        model_max_length: longest input in tokens, the end token included.
        options: further arguments of `PreTrainedTokenizerFast`.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        mask_token=MASK,
        pad_token=PAD,
        model_max_length=model_max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )


def forget_calls(tokenizer: PreTrainedTokenizerBase) -> None:
    """Take out of a tokenizer what its latest calls have left in it, so that it is saved as it was made.

    A call with `truncation` or `padding` sets them in the tokenizer underneath, and they would be saved with it: other
    calls, another file, and the longest input of a training. `model_max_length` stays.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    # As transformers notes them when it opens a file that has such settings.
    for key in ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "pad_token_type_id"):
        tokenizer.init_kwargs.pop(key, None)


def encode_with_identifiers(
    texts: Sequence[str], identifiers: Sequence[Sequence[Identifier]], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]]:
    """Tokenize texts and say for each token to which identifier it belongs.

    A token belongs to an identifier if their character spans overlap. Containment would be wrong on both sides: the
    span of a word includes the space before it, and one character can be several tokens, each with the whole span.

    Args:
        texts: The texts, exactly as they were parsed.
        identifiers: For each text its identifiers: spans in characters, sorted and disjoint, ids from 1.
        tokenizer: Any fast tokenizer.

    Returns:
        For each text two arrays of one length: token ids, and the id of each token's identifier or 0. No special tokens
        are added, and a text that looks like one is text.

    Raises:
        ValueError: If the numbers of texts and lists differ, or a span does not follow the span before it.
    """
    return [(row.tokens, row.identifier_ids) for row in align_identifiers(texts, identifiers, tokenizer)]


class Alignment(NamedTuple):
    """The tokens of a text, and what they have to do with its identifiers.

    Attributes:
        tokens: Token ids [T].
        identifier_ids: The id of each token's identifier, or 0 [T].
        mixed: Whether a token holds a part of its identifier and, beside white space, something else [T].
    """

    tokens: npt.NDArray[np.uint32]
    identifier_ids: npt.NDArray[np.uint32]
    mixed: npt.NDArray[np.bool_]


def align_identifiers(
    texts: Sequence[str], identifiers: Sequence[Sequence[Identifier]], tokenizer: PreTrainedTokenizerBase
) -> list[Alignment]:
    """Do what `encode_with_identifiers` does, and also say which tokens an identifier shares with its neighbors.

    With the tokenizers of `train_tokenizer` there are none; others join, for example, `(_` of `f(_name)`.

    Raises:
        ValueError: As `encode_with_identifiers`.
    """
    if len(texts) != len(identifiers):
        raise ValueError(f"There are {len(texts)} texts but identifiers of {len(identifiers)}.")
    if not texts:
        return []
    encoded = _encode_by_length(texts, tokenizer) or _encode_by_offsets(texts, tokenizer)
    return [
        Alignment(tokens, *_align(spans, found, text, in_bytes))
        for (tokens, spans, in_bytes), text, found in zip(encoded, texts, identifiers, strict=True)
    ]


_Encoded = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], bool]
"""Token ids [T], their spans [T, 2], and whether these are in bytes of UTF-8 or in characters."""


def _encode_by_length(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[_Encoded] | None:
    """Tokenize with a byte-level tokenizer: where a token stands follows from the lengths of those before it.

    This takes two thirds of the time of `_encode_by_offsets`. None if the lengths do not add up to those of the texts.
    """
    lengths = _byte_lengths(tokenizer)
    if lengths is None:
        return None
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    encoded: list[_Encoded] = []
    for text, encoding in zip(texts, backend.encode_batch_fast(list(texts), add_special_tokens=False), strict=True):
        tokens = np.frombuffer(array("I", encoding.ids), dtype=np.uint32)  # a third of the time of asarray
        sizes = lengths[tokens]
        ends = sizes.cumsum()
        if sizes.sum() != len(text.encode()):
            return None
        encoded.append((tokens, np.stack((ends - sizes, ends), axis=1), True))
    return encoded


@lru_cache(maxsize=8)
def _byte_lengths(tokenizer: PreTrainedTokenizerBase) -> npt.NDArray[np.int64] | None:
    """How many bytes of text each token stands for; None for tokenizers that are not byte-level or change the text."""
    backend = tokenizer.backend_tokenizer
    if backend.normalizer is not None or not isinstance(backend.decoder, decoders.ByteLevel):
        return None
    alphabet, added = set(pre_tokenizers.ByteLevel.alphabet()), tokenizer.added_tokens_decoder
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    # Added tokens are text as it is, the others spell each byte with one character.
    return np.array(
        [
            len(piece) if number not in added and alphabet.issuperset(piece) else len(piece.encode())
            for number, piece in enumerate(pieces)
        ],
        dtype=np.int64,
    )


def _encode_by_offsets(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[_Encoded]:
    """Tokenize with any fast tokenizer, which tells in characters where its tokens stand."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    return [
        (np.asarray(ids, dtype=np.uint32), np.asarray(spans, dtype=np.int64).reshape(-1, 2), False)
        for ids, spans in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _align(
    spans: npt.NDArray[np.int64], identifiers: Sequence[Identifier], text: str, in_bytes: bool
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """Return, for token spans [T, 2], the id of the first identifier that each overlaps or 0, and what is `mixed`.

    Args:
        spans: In bytes of the text in UTF-8, or in characters.
        identifiers: Their spans are in characters.
        text: What the spans are of.
        in_bytes: See `spans`.
    """
    if not identifiers:
        return np.zeros(len(spans), dtype=np.uint32), np.zeros(len(spans), dtype=np.bool_)
    starts, ends, _, _, numbers = zip(*identifiers, strict=True)
    start, end, number = (np.array(column, dtype=np.int64) for column in (starts, ends, numbers))
    if (end <= start).any() or (start[1:] < end[:-1]).any() or number.min() < 1:
        raise ValueError("Identifiers must be sorted, disjoint and not empty, with ids from 1.")
    if in_bytes or text.isascii():
        codes = np.frombuffer(text.encode(), dtype=np.uint8)
        if len(codes) != len(text):
            positions = np.append(np.flatnonzero((codes & 0xC0) != 0x80), len(codes))
            start, end = positions[start], positions[end]
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    first, last = np.append(start, len(codes)), np.append(end, len(codes))
    nearest = np.searchsorted(end, spans[:, 0], side="right")
    reached = (nearest < len(start)) & (first[nearest] < spans[:, 1])
    ids = np.where(reached, np.append(number, 0)[nearest], 0).astype(np.uint32)
    # White space before a name belongs to its token in most tokenizers, and tells nothing.
    visible = np.concatenate(([0], np.cumsum(codes > ord(" "))))
    before = visible[np.maximum(first[nearest], spans[:, 0])] - visible[spans[:, 0]]
    behind = visible[spans[:, 1]] - visible[np.minimum(last[nearest], spans[:, 1])]
    return ids, reached & (before + behind > 0)
