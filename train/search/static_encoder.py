"""Embeddings of a model without blocks by numpy: no torch, no transformers, and the same vectors.

Purpose: a static model is a table, and its embedding of a text is the mean over the text's tokens of their rows. A
CodeSage model of no layers adds that of the rows of their positions. To open the libraries that run any model takes ten
times as long as a whole search takes this way.

Contract: `StaticEncoder.open(folder)` gives None for a model that computes anything else; that one has to be opened by
`retrieval.encoder`. `embed` returns what sentence-transformers would, to the precision of float32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.model_layout import MODEL_CONFIG, MODULES, module_type
from ..common.model_tokenizer import probe_tokenizer
from ..common.model_weights import stored_shapes
from ..common.static_model import STATIC_MODULES, is_static, table
from ..common.untrusted import read_json, read_object
from .released import is_released

_BLOCK = 256
"""Texts that are tokenized at once."""
_DTYPES = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
_WEIGHTS = "model.safetensors"
_TOKENS, _POSITIONS = "wte.weight", "wpe.weight"
_MODULES = ["Transformer", "Pooling", "Normalize"]

Floats = npt.NDArray[np.float32]


class StaticEncoder:
    """A table of token embeddings.

    Args:
        tokenizer: which cuts at the longest input and appends what the model was trained with.
        tokens: rows of its vocabulary, [V, D]; bfloat16 as uint16, or floats.
        positions: rows of the positions, [P, D], and special tokens around a text; None: neither.
    """

    def __init__(self, tokenizer: Any, tokens: npt.NDArray[Any], positions: npt.NDArray[Any] | None = None) -> None:
        self._tokenizer, self._tokens = tokenizer, tokens
        self.dimension = tokens.shape[1]
        self._positions = None
        if positions is not None:
            # Row n: the sum of the first n positions.
            sums = np.cumsum(_floats(positions), axis=0, dtype=np.float64)
            self._positions = np.concatenate([np.zeros((1, self.dimension)), sums]).astype(np.float32)

    @classmethod
    def open(cls, folder: Path) -> StaticEncoder | None:
        """Open a model folder; None if it is not that of a model without blocks.

        Raises:
            ValueError: it is, and is damaged.
        """
        if is_static(folder):
            return cls._open_static(folder)
        return cls._open_codesage(folder) if _is_table(folder) else None

    @classmethod
    def _open_static(cls, folder: Path) -> StaticEncoder | None:
        """Open a table that is used as it is stored; None if more is done with it."""
        modules = [
            module_type(module.get("type")) for module in read_json(folder / MODULES) if isinstance(module, dict)
        ]
        if modules not in (STATIC_MODULES, STATIC_MODULES[:1]) or _has_prompts(folder):
            return None
        weights = folder / _WEIGHTS
        tensors = _read_safetensors(weights)
        tokens = table(tensors)
        if tensors.keys() != stored_shapes(weights).keys() or tokens is None or tokens.ndim != 2:
            return None
        return cls(_open_tokenizer(folder, len(tokens)), tokens)

    @classmethod
    def _open_codesage(cls, folder: Path) -> StaticEncoder:
        """Open a CodeSage model without blocks."""
        weights = folder / _WEIGHTS
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in _read_safetensors(weights).items()}
        tokens, positions = tensors.get(_TOKENS), tensors.get(_POSITIONS)
        if tokens is None or positions is None or tokens.ndim != 2 or positions.shape[1:] != tokens.shape[1:]:
            raise ValueError(f"{weights} lacks {_TOKENS} or {_POSITIONS}, or they do not fit: copy it again")
        tokenizer = _open_tokenizer(folder, len(tokens))
        settings = read_object(folder / "tokenizer_config.json")
        longest = min(len(positions), int(settings.get("model_max_length", len(positions))))
        tokenizer.enable_truncation(longest)
        tokenizer.encode_special_tokens = bool(settings.get("split_special_tokens", False))
        return cls(tokenizer, tokens, positions[:longest])

    def queries(self, texts: Sequence[str]) -> Floats:
        """Embed queries: float32 [number of texts, D], of length 1."""
        return self.embed(texts)

    def documents(self, texts: Sequence[str]) -> Floats:
        """Embed what is searched: float32 [number of texts, D], of length 1."""
        return self.embed(texts)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed texts: float32 [number of texts, D], of length 1."""
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK):
            block, special = list(texts[start : start + _BLOCK]), self._positions is not None
            encodings = self._tokenizer.encode_batch_fast(block, add_special_tokens=special)
            for number, encoding in enumerate(encodings, start=start):
                ids, counts = np.unique(encoding.ids, return_counts=True)
                rows[number] = counts.astype(np.float32) @ _floats(self._tokens[ids.astype(np.int64)])
                if self._positions is not None:
                    rows[number] += self._positions[len(encoding.ids)]
        return unit_length(rows)


def unit_length(rows: Floats) -> Floats:
    """Rows scaled to length 1.

    Raises:
        ValueError: one is not finite.
    """
    if not np.isfinite(rows).all():
        raise ValueError("some embeddings are not finite: the model is broken, choose another")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _is_table(folder: Path) -> bool:
    """Whether a folder holds a CodeSage model without blocks, its mean pooling, and nothing that changes either."""
    names = ("config.json", _WEIGHTS, "tokenizer.json", "tokenizer_config.json")
    if not all((folder / name).is_file() for name in names):
        return False
    config = read_object(folder / "config.json")
    if config.get("model_type") != "codesage" or config.get("num_hidden_layers") != 0 or config.get("final_layer_norm"):
        return False
    if not (folder / MODULES).exists():
        return True
    modules = read_json(folder / MODULES)
    types = [str(module.get("type")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    if types not in (_MODULES, _MODULES[:2]) or not all(isinstance(module.get("path"), str) for module in modules):
        return False
    pooling = read_object(folder / str(modules[1]["path"]) / "config.json")
    means = pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens") is True
    return means and not _has_prompts(folder)


def _has_prompts(folder: Path) -> bool:
    """Whether something is put before the texts."""
    settings = folder / MODEL_CONFIG
    prompts = read_object(settings).get("prompts") if settings.exists() else None
    return any((prompts or {}).values())


def _open_tokenizer(folder: Path, rows: int) -> Any:
    """Open the tokenizer of a table of so many rows.

    Raises:
        ValueError: it cannot be opened, or gives ids beyond them.
    """
    path = folder / "tokenizer.json"
    if not is_released(folder) and probe_tokenizer(path) >= rows:
        raise ValueError(f"{path} gives token ids beyond the {rows} rows of {folder / _WEIGHTS}")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    return tokenizer


def _floats(values: npt.NDArray[Any]) -> Floats:
    """Rows of a table as float32."""
    if values.dtype == np.uint16:  # bfloat16: the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _read_safetensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensors of floats in a file, mapped into memory; numpy has no bfloat16, so safetensors cannot give them."""
    stored_shapes(file)  # the library checks the header
    data = np.memmap(file, np.uint8, mode="r")
    length = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8 : 8 + length]))
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {
        name: body[slice(*each["data_offsets"])].view(_DTYPES[each["dtype"]]).reshape(each["shape"])
        for name, each in header.items()
        if each["dtype"] in _DTYPES
    }
