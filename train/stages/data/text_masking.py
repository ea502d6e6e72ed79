"""Masks of Stage I over rows of plain text: a data collator for any encoder, in any `Trainer`, without preparation.

Contract: `DataCollatorForIdentifierMasking` parses, tokenizes, masks and pads rows of source text, in the loader's
workers. Its tokenizer may be any fast one with a mask token: positions in the text decide which tokens belong to an
identifier. What is masked, and how often, is said in `masks`. `MaskingEpochCallback` tells it the epoch.

Invariants: the masks of a row, and the part that is shown of a long one, are a pure function of (seed, epoch, text,
language): not of the other rows, their order, the number of workers, or an interruption. Special tokens are never
masked. A text outside the limits, or in a language without a grammar, is not lost and not silent: it is masked at
random and counted.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from open_codesage.tokenization.identifiers import Identifier, find_identifiers
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.source import DEFAULT_LIMITS, REASONS, Limits, Unparsable
from open_codesage.tokenization.tokenizer import Alignment, align_identifiers
from torch.utils.data import get_worker_info
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ...common.randomness import Words, derive, uniform
from .masks import DOCUMENT, WINDOW, Batch, Masking, positions

UNKNOWN_LANGUAGE = "unknown_language"
COUNTED = (
    "documents", "cut", "tokens", "masked_tokens", "parsed", "deobfuscated", "identifier_tokens", "mixed_tokens",
    UNKNOWN_LANGUAGE, *REASONS,
)  # fmt: skip

# Of a long text no more characters than this per token that is wanted are tokenized.
_CHARACTERS_PER_TOKEN = 16
# Each worker process counts in a row of its own, since additions of two processes could overtake one another.
_WORKERS = 256
# Lengths from which transformers means "no limit was stored".
_NO_LENGTH = 10**6


class _Text(NamedTuple):
    """A row before it is tokenized: what is shown of its text, with the identifiers in it."""

    shown: str
    identifiers: list[Identifier]
    key: Words
    is_whole: bool


class DataCollatorForIdentifierMasking:
    """Makes masked language model batches out of rows of source text, with identifiers as the targets of a share.

    Each document is drawn to have its identifiers masked (deobfuscation) or random tokens; only the former are parsed.
    A token that holds a part of an identifier and of its neighbor, such as `(_` in `f(_name)`, is masked as a whole,
    since what stays of a name would give it away; `counts` has the number of these. Where a document is longer than
    `max_length`, a part is shown that is drawn anew for every epoch.

    Give `remove_unused_columns=False` to the `TrainingArguments`: the Trainer would drop the columns of text.

    Args:
        tokenizer: any fast tokenizer with a mask and a padding token. Its special tokens are added as it does for a
            single text.
        deobfuscation_share: probability that a document has its identifiers masked and not random tokens.
        mask_rate: probability that a token is masked in a document with random masks, or (lowest, highest) of a range
            from which each document draws its own.
        identifier_share: probability that a name is masked in a document with masked identifiers; all its occurrences
            are masked together.
        random_share: probability that a token chosen by a random mask becomes a random token, and not the mask token.
        keep_share: probability that a token chosen by a random mask stays as it is.
        max_length: tokens in a row, special tokens included; what the tokenizer was made for if not given.
        text_column: column of the source text.
        language_column: column of the programming language, by any name or alias in any case; a language that is not
            known, or None, is masked at random and counted.
        epoch_column: column of the epoch that a row's masks are drawn for, of a dataset that goes through all epochs
            as one; the attribute `epoch` if None.
        pack_for: the model, to put several documents into one row of at most `max_length` tokens, told apart by
            `position_ids` that restart at 0. Only for a model that isolates such documents: that of open-codesage.
        pad_to_multiple_of: pad rows to a multiple of this.
        seed: seed of all masks.
        limits: what a text may cost to be parsed.

    Attributes:
        epoch: The epoch that masks are drawn for, 0 unless it is set; seen by worker processes that already run. While
            it stays, a text has the same masks whenever it comes.

    Raises:
        ValueError: a setting that cannot be used, a tokenizer that is not fast or lacks a token, or a model in
            `pack_for` whose documents would see each other.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        deobfuscation_share: float = 0.5,
        mask_rate: float | tuple[float, float] = 0.15,
        identifier_share: float = 1.0,
        random_share: float = 0.0,
        keep_share: float = 0.0,
        *,
        max_length: int | None = None,
        text_column: str = "content",
        language_column: str = "lang",
        epoch_column: str | None = None,
        pack_for: PreTrainedModel | None = None,
        pad_to_multiple_of: int | None = None,
        seed: int = 0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not tokenizer.is_fast:
            raise ValueError(
                f"{type(tokenizer).__name__} does not tell where its tokens stand in a text: take a fast tokenizer, "
                "one with a tokenizer.json"
            )
        if pack_for is not None and pack_for.config.model_type != "codesage":
            raise ValueError(
                f"documents in one row of a {pack_for.config.model_type} model would see each other: leave out "
                "pack_for, then each document has a row of its own"
            )
        self.tokenizer = tokenizer
        self.masking = Masking(tokenizer, deobfuscation_share, mask_rate, identifier_share, random_share, keep_share)
        self.special = np.array(tokenizer.all_special_ids)
        self.prefix, self.suffix = _template(tokenizer)
        self.max_length = _length(tokenizer, max_length)
        self.capacity = self.max_length - len(self.prefix) - len(self.suffix)
        if self.capacity < 1:
            raise ValueError(f"max_length is {self.max_length}: the special tokens leave no place for text")
        if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of must be positive, not {pad_to_multiple_of}")
        self.text_column, self.language_column, self.epoch_column = text_column, language_column, epoch_column
        self.packs = pack_for is not None
        self.pad_to_multiple_of = pad_to_multiple_of or 1
        self.seed, self.limits = seed, limits
        # In shared memory, for worker processes.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._counts = torch.zeros(_WORKERS, len(COUNTED), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that masks are drawn for."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch[0] = epoch

    @property
    def counts(self) -> dict[str, int]:
        """What has been collated so far, by all workers of this process.

        Returns:
            `documents`, and of these those `cut`, `parsed` and `deobfuscated`; `tokens` without padding, and of these
            `masked_tokens`; among the tokens of deobfuscated documents the `identifier_tokens`, and of these the
            `mixed_tokens`, which a neighbor shares. Of documents drawn to be deobfuscated and masked at random for want
            of a tree: `unknown_language`, and each of `tokenization.REASONS`.
        """
        return dict(zip(COUNTED, self._counts.sum(0).tolist(), strict=True))

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Make a batch.

        Returns:
            int64 tensors [rows, T]: `input_ids`, `attention_mask` (0 for padding), `labels` (the original id of a
            chosen token, elsewhere -100) and, if documents are packed into fewer rows, `position_ids`.

        Raises:
            ValueError: a row without the columns, or without a text.
        """
        counted: Counter[str] = Counter(documents=len(rows))
        texts = [self._read(row, counted) for row in rows]
        aligned = align_identifiers(
            [text.shown for text in texts], [text.identifiers for text in texts], self.tokenizer
        )
        documents = [self._show(text, tokens, counted) for text, tokens in zip(texts, aligned, strict=True)]
        keys = np.concatenate([text.key for text in texts])
        batch, real = self._lay_out(documents, keys)
        input_ids, labels = self.masking.draw(batch)
        counted["tokens"] += int(real.sum())
        counted["masked_tokens"] += int((labels >= 0).sum())
        self._count(counted)
        arrays = {"input_ids": input_ids, "attention_mask": real.astype(np.int64), "labels": labels}
        if self.packs:
            arrays["position_ids"] = positions(batch.documents, input_ids.shape)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _read(self, row: Mapping[str, Any], counted: Counter[str]) -> _Text:
        """Take a row's text, look for its identifiers if they are to be masked, and choose what is shown of it."""
        text = self._column(row, self.text_column)
        language = self._column(row, self.language_column)
        if not isinstance(text, str):
            raise ValueError(f"column {self.text_column} holds a {type(text).__name__}, not source text")
        try:
            data = text.encode()
        except UnicodeEncodeError:  # half a character, which no tokenizer takes
            data = text.encode(errors="replace")
            text = data.decode()
        epoch = self.epoch if self.epoch_column is None else int(self._column(row, self.epoch_column))
        key = derive(derive(self.seed, epoch), _digest(data, str(language)))
        is_parsed = self.masking.obfuscates(derive(key, DOCUMENT))[0]
        identifiers = self._identifiers(text, language, counted) if is_parsed else []
        shown = _CHARACTERS_PER_TOKEN * self.capacity
        if len(text) <= shown:
            return _Text(text, identifiers, key, is_whole=True)
        start = int(_draw(key, 0) * (len(text) - shown + 1))
        start = text.rfind("\n", max(0, start - shown // 2), start) + 1 or start  # a line, where there are any
        within = [
            name._replace(start=name.start - start, end=name.end - start)
            for name in identifiers
            if start <= name.start and name.end <= start + shown
        ]
        return _Text(text[start : start + shown], within, key, is_whole=False)

    def _column(self, row: Mapping[str, Any], column: str) -> Any:
        try:
            return row[column]
        except KeyError:
            raise ValueError(
                f"a row has no column {column!r}, only {', '.join(map(str, row)) or 'none'}: name the columns by "
                "text_column and language_column, and give remove_unused_columns=False to the TrainingArguments"
            ) from None

    def _identifiers(self, text: str, language: Any, counted: Counter[str]) -> list[Identifier]:
        try:
            name = resolve_language(language) if isinstance(language, str) else None
        except ValueError:
            name = None
        if name is None:
            counted[UNKNOWN_LANGUAGE] += 1
            return []
        try:
            identifiers = find_identifiers(text, name, self.limits)
        except Unparsable as error:
            counted[error.reason] += 1
            return []
        counted["parsed"] += 1
        return identifiers

    def _show(self, text: _Text, aligned: Alignment, counted: Counter[str]) -> tuple[npt.NDArray[Any], ...]:
        """Cut a document to what fits: its tokens and identifier ids, special tokens not among them."""
        spare = len(aligned.tokens) - self.capacity
        start = int(_draw(text.key, 1) * (spare + 1)) if spare > 0 else 0
        tokens, names, mixed = (column[start : start + self.capacity] for column in aligned)
        counted["cut"] += spare > 0 or not text.is_whole
        counted["deobfuscated"] += bool(names.any())
        counted["identifier_tokens"] += int(np.count_nonzero(names))
        counted["mixed_tokens"] += int(np.count_nonzero(mixed))
        return tokens, names

    def _lay_out(
        self, documents: list[tuple[npt.NDArray[Any], ...]], keys: Words
    ) -> tuple[Batch, npt.NDArray[np.bool_]]:
        """Put documents into rows, and pad these; return the batch, and where it holds tokens."""
        around = len(self.prefix) + len(self.suffix)
        sizes = [len(tokens) + around for tokens, _ in documents]
        rows = _pack(sizes, self.max_length) if self.packs else [[number] for number in range(len(sizes))]
        longest = max(sum(sizes[number] for number in row) for row in rows)
        length = math.ceil(max(longest, 1) / self.pad_to_multiple_of) * self.pad_to_multiple_of
        tokens = np.full((len(rows), length), self.masking.pad_id, np.int64)
        names, real = np.zeros(tokens.shape, np.int64), np.zeros(tokens.shape, np.bool_)
        may = np.zeros(tokens.shape, np.bool_)
        lengths, order = [], []
        for number, row in enumerate(rows):
            place = 0
            for document in row:
                ids, found = documents[document]
                end = place + sizes[document]
                inner = slice(place + len(self.prefix), end - len(self.suffix))
                tokens[number, place:end] = np.concatenate((self.prefix, ids, self.suffix))
                names[number, inner], real[number, place:end] = found, True
                may[number, inner] = ~np.isin(ids, self.special)
                place = end
            lengths += [*(sizes[document] for document in row), length - place]
            order += [*(keys[document] for document in row), np.uint64(0)]
        parts = np.array(lengths, np.int64)
        text_keys = np.array(order, np.uint64)
        token_keys = np.repeat(text_keys, parts).reshape(tokens.shape)
        places = positions(parts, tokens.shape)
        return Batch(tokens, names, may, parts, derive(text_keys, DOCUMENT), token_keys, places), real

    def _count(self, counted: Counter[str]) -> None:
        worker = get_worker_info()
        row = self._counts[0 if worker is None else 1 + worker.id % (_WORKERS - 1)]
        row += torch.tensor([counted[name] for name in COUNTED])


class MaskingEpochCallback(TrainerCallback):
    """Tells a collator the epoch, so that every epoch has masks of its own, also when it is resumed in between.

    Args:
        collator: that of the Trainer.
    """

    def __init__(self, collator: DataCollatorForIdentifierMasking) -> None:
        self.collator = collator

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go back to before the epoch that the training begins or resumes in."""
        self.collator.epoch = int(state.epoch or 0) - 1

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count one more: `state.epoch` does not tell the epoch of a stream, whose length is unknown."""
        self.collator.epoch += 1


def _template(tokenizer: PreTrainedTokenizerBase) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the special tokens that a tokenizer puts before and behind a text."""
    encoded = tokenizer("x", add_special_tokens=True, return_special_tokens_mask=True)
    ids, special = np.array(encoded["input_ids"], np.int64), np.array(encoded["special_tokens_mask"], np.bool_)
    text = np.flatnonzero(~special)
    if not text.size:
        raise ValueError("the tokenizer makes nothing but special tokens of the text 'x'")
    return ids[: text[0]], ids[text[-1] + 1 :]


def _length(tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int:
    if max_length is not None:
        return max_length
    if tokenizer.model_max_length >= _NO_LENGTH:
        raise ValueError("the tokenizer does not say how many tokens its model takes: give max_length")
    return int(tokenizer.model_max_length)


def _digest(data: bytes, language: str) -> npt.NDArray[np.uint64]:
    """Name a text by 64 bits of a hash."""
    hashed = hashlib.blake2b(data, digest_size=8, person=hashlib.blake2b(language.encode(), digest_size=16).digest())
    return np.frombuffer(hashed.digest(), np.uint64)


def _draw(key: Words, number: int) -> float:
    """Draw where the shown part of a long text begins: a number in [0, 1)."""
    return float(uniform(derive(derive(derive(key, DOCUMENT), WINDOW), number))[0])


def _pack(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Put each document, the longest first, into the first row that has room."""
    rows: list[list[int]] = []
    spaces: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        row = next((row for row, space in enumerate(spaces) if space >= sizes[number]), len(rows))
        if row == len(rows):
            rows.append([])
            spaces.append(length)
        rows[row].append(number)
        spaces[row] -= sizes[number]
    return rows
