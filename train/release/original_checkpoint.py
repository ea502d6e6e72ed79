"""The authors' checkpoints as they were published, read without running anything of them.

Contract: `read_config`, `read_weights`, `read_tokenizer` and `read_card` turn a folder in the layout of the authors'
Hub repositories (codesage-small, -base, -large, and their second versions) into parts of ours. That layout: a
`config.json` without `model_type`; weights in `pytorch_model.bin`, in safetensors, or in shards of either, named with
or without the prefix `transformer.`, with or without the tied head; the tokenizer of StarCoder in `vocab.json` and
`merges.txt`, two tokens in `added_tokens.json`, names of special tokens in `special_tokens_map.json` and
`tokenizer_config.json`.

Invariants: a pickle is only opened as tensors (`weights_only`), from a memory map. Weights are given in the format in
which they are stored, and every one that the config asks for is there. The tokenizer gives the ids of the authors'
class, EOS included, for every text.
"""

import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.tokenization.tokenizer import END, MASK, PAD, wrap_tokenizer
from safetensors import safe_open
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ..common.model_tokenizer import TOKENIZER_BYTES, probe_tokenizer
from ..common.model_weights import PREFIX, TIED_HEAD, shards, stored_shapes, weight_files
from ..common.untrusted import read_metadata, read_object

SIZES = (
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
DOWNLOAD = "download the whole repository again, with `hf download USER/NAME --local-dir FOLDER`"

TokenizerFiles = Literal["vocab.json", "tokenizer.json"]


def read_config(folder: Path) -> CodeSageConfig:
    """Read the sizes of a published checkpoint; keys that are not ours are left behind.

    Raises:
        ValueError: another architecture, or sizes that are missing or cannot be built.
    """
    path = folder / "config.json"
    if not folder.is_dir() or not path.exists():
        raise ValueError(f"{path} is missing: {DOWNLOAD}")
    content = read_object(path)
    auto_map = content.get("auto_map")
    named = [*_strings(content.get("architectures")), *_strings(auto_map and list(auto_map.values()))]
    kind = content.get("model_type", "codesage" if any("CodeSage" in name for name in named) else None)
    if kind != "codesage":
        told = f"model_type {kind!r}" if kind else f"architectures {named}"
        raise ValueError(f"{path} describes another model ({told}): only CodeSage checkpoints can be converted")
    if missing := [name for name in SIZES if name not in content]:
        raise ValueError(f"{path} lacks {', '.join(missing)}: {DOWNLOAD}")
    known = {name: content[name] for name in CodeSageConfig.__annotations__ if name in content}
    try:
        return CodeSageConfig(**({"pad_token_id": None} | known))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_weights(folder: Path, config: CodeSageConfig) -> dict[str, torch.Tensor]:
    """Read the encoder's weights, memory-mapped.

    Returns:
        Tensors by their names in `CodeSageModel`, in the format in which they are stored.

    Raises:
        ValueError: no weights, a pickle that holds more than tensors, or weights that are not those of the config.
    """
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in CodeSageModel(config).state_dict().items()}
    weights: dict[str, torch.Tensor] = {}
    head = None
    for file in _weight_files(folder):
        for stored, tensor in _tensors(file).items():
            name = stored.removeprefix(PREFIX)
            wanted = expected["wte.weight"] if name == TIED_HEAD else expected.get(name)
            if wanted is None:
                raise ValueError(
                    f"{file}: {stored} is no part of a CodeSage encoder; only the encoder, alone or with the head of "
                    "its masked LM, can be converted"
                )
            if tuple(tensor.shape) != wanted:
                raise ValueError(
                    f"{file}: {stored} has shape {list(tensor.shape)}, config.json asks for {list(wanted)}: "
                    "take config.json and weights of one model"
                )
            if not tensor.is_floating_point() or tensor.untyped_storage().nbytes() < tensor.nbytes:
                raise ValueError(
                    f"{file}: {stored} does not hold {tensor.numel():,} floating-point numbers: {DOWNLOAD}"
                )
            if name in weights or (name == TIED_HEAD and head is not None):
                raise ValueError(f"{file}: {name} is stored twice: {DOWNLOAD}")
            if name == TIED_HEAD:
                head = tensor
            else:
                weights[name] = tensor
    if missing := sorted(expected.keys() - weights.keys()):
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise ValueError(f"{folder}: the weights lack {', '.join(missing[:8])}{more}: {DOWNLOAD}")
    if head is not None and not torch.equal(head, weights["wte.weight"]):
        raise ValueError(
            f"{folder}: {TIED_HEAD} is not the token embedding, and a head of its own has no place in a Hub folder: "
            "remove it from the weights if the encoder is all you need"
        )
    return weights


def read_tokenizer(folder: Path, files: TokenizerFiles, max_length: int) -> PreTrainedTokenizerFast:
    """Build a fast tokenizer that ends every text with EOS.

    The authors' class (tokenization_codesage.py, since June 2024) reads `vocab.json` and `merges.txt` and splits texts
    as GPT-2 does. The `tokenizer.json` beside them is StarCoder's, which sets every digit apart before anything else:
    the same ids, since no merge joins digits, but for blanks before a digit ("x =    1"): it takes all as one run.

    Args:
        folder: the checkpoint.
        files: which of the two is the origin.
        max_length: longest input in tokens, EOS included; the published files name none.

    Raises:
        ValueError: a file is missing or malformed.
    """
    settings = read_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    named = settings | (
        read_object(folder / "special_tokens_map.json") if (folder / "special_tokens_map.json").exists() else {}
    )
    if settings.get("add_bos_token"):
        raise ValueError(
            f"{folder / 'tokenizer_config.json'}: add_bos_token is true, but no published model begins its inputs so"
        )
    if files == "tokenizer.json":
        if not (folder / files).is_file():
            raise ValueError(f"{folder / files} is missing: {DOWNLOAD}, or take vocab.json as tokenizer_files")
        probe_tokenizer(folder / files)
        tokenizer = Tokenizer.from_file(str(folder / files))
        tokenizer.no_padding()
        tokenizer.no_truncation()
    else:
        tokenizer = _byte_level_bpe(folder, bool(settings.get("add_prefix_space")))
    _add_special_tokens(tokenizer, folder, named)
    end = tokenizer.token_to_id(END)
    if end is None:
        raise ValueError(f"{folder}: the vocabulary has no {END}, which ends every input: {DOWNLOAD}")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, end)]
    )
    others = [token for token in _listed(named) if token not in (END, MASK, PAD)]
    return wrap_tokenizer(tokenizer, max_length, additional_special_tokens=others)


def read_card(folder: Path) -> dict[str, Any]:
    """Read the metadata of the authors' model card; nothing, if there is none that can be read."""
    try:
        return read_metadata(folder / "README.md")
    except (OSError, ValueError):
        return {}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _weight_files(folder: Path) -> list[Path]:
    """List the files with weights, safetensors before pickles."""
    if files := weight_files(folder):
        return files
    if (folder / PICKLE).is_file():
        return [folder / PICKLE]
    if (folder / PICKLE_INDEX).exists():
        return shards(folder / PICKLE_INDEX)
    raise ValueError(f"{folder} holds neither model.safetensors nor {PICKLE}, whole or in shards: {DOWNLOAD}")


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        names = stored_shapes(file)
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in names}
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(record.file_size for record in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{file} is no file that torch 1.6 or later has written: {DOWNLOAD}") from error
    if unpacked > file.stat().st_size:
        raise ValueError(f"{file} is compressed, which no file of torch is: {DOWNLOAD}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a malformed pickle can raise anything, and the next line says what it was
        raise ValueError(_why_not_loaded(file, error)) from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{file} holds a {type(content).__name__}, not the weights of a model by their names")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(
                f"{file}: {name!r} is a {type(tensor).__name__}, but only weights by their names can be read"
            )
    return content


def _why_not_loaded(file: Path, error: Exception) -> str:
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # noqa: BLE001 (the same malformed pickle, read for the names that it calls)
        wanted = []
    if wanted:
        return (
            f"{file} would run {', '.join(sorted(wanted))} when it is opened, and was not opened: "
            "a checkpoint holds tensors and nothing else; take the file from the authors"
        )
    return f"{file} is no file of torch with weights alone ({str(error).splitlines()[0][:200]}): {DOWNLOAD}"


def _byte_level_bpe(folder: Path, add_prefix_space: bool) -> Tokenizer:
    """Build the tokenizer of `vocab.json` and `merges.txt`, as GPT-2's class reads them."""
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing: {DOWNLOAD}, or take tokenizer.json as tokenizer_files")
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocab = read_object(vocab_file, TOKENIZER_BYTES)
    ids = [number for number in vocab.values() if isinstance(number, int) and not isinstance(number, bool)]
    if sorted(ids) != list(range(len(vocab))):
        raise ValueError(f"{vocab_file} does not number its {len(vocab)} tokens from 0: {DOWNLOAD}")
    if lacking := [byte for byte in pre_tokenizers.ByteLevel.alphabet() if byte not in vocab]:
        raise ValueError(f"{vocab_file} is no byte-level vocabulary: it lacks {len(lacking)} of the 256 bytes")
    if merges_file.stat().st_size > TOKENIZER_BYTES:
        raise ValueError(f"{merges_file} is longer than {TOKENIZER_BYTES:,} bytes: {DOWNLOAD}")
    try:
        lines = merges_file.read_text(encoding="utf-8").split("\n")
    except ValueError as error:
        raise ValueError(f"{merges_file} is no text: {error}") from error
    merges = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#version"):
            continue
        left, _, right = line.partition(" ")
        if not {left, right, left + right} <= vocab.keys():
            raise ValueError(
                f"{merges_file}, line {number}: {line[:80]!r} joins no two tokens of vocab.json: {DOWNLOAD}"
            )
        merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _listed(named: dict[str, Any]) -> dict[str, AddedToken]:
    """Return the special tokens that the files name, by their text."""
    listed = [value for key, value in named.items() if key.endswith("_token") and not isinstance(value, bool)]
    more = named.get("additional_special_tokens")
    listed += more if isinstance(more, list) else []
    tokens = {}
    for value in [*listed, END, MASK, PAD]:
        flags = value if isinstance(value, dict) else {"content": value}
        content = flags.get("content")
        if isinstance(content, str) and content and content not in tokens:
            sides = {side: flags.get(side) is True for side in ("lstrip", "rstrip", "single_word")}
            tokens[content] = AddedToken(content, special=True, normalized=False, **sides)
    return tokens


def _add_special_tokens(tokenizer: Tokenizer, folder: Path, named: dict[str, Any]) -> None:
    """Add the tokens of `added_tokens.json` under their ids, and make every named one special."""
    path = folder / "added_tokens.json"
    added = read_object(path) if path.exists() else {}
    if not all(isinstance(number, int) for number in added.values()):
        raise ValueError(f"{path} does not map tokens to their ids: {DOWNLOAD}")
    special = _listed(named)
    for token in sorted(added, key=lambda token: added[token]):
        tokenizer.add_special_tokens([special.get(token, AddedToken(token, special=True, normalized=False))])
        if tokenizer.token_to_id(token) != added[token]:
            raise ValueError(f"{path} gives {token} the id {added[token]}, which does not follow the vocabulary")
    if unknown := [token for token in special if tokenizer.token_to_id(token) is None]:
        raise ValueError(f"{folder}: the vocabulary lacks the special tokens {', '.join(unknown)}: {DOWNLOAD}")
    tokenizer.add_special_tokens(list(special.values()))
