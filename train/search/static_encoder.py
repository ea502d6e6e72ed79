"""Embeddings of a model without blocks by numpy: no torch, no transformers, and the same vectors.

Purpose: a CodeSage model of no layers is a table. Its embedding of a text is the mean over the text's tokens of their
rows and of the rows of their positions. To open the libraries that run any model takes ten times as long as a whole
search takes this way.

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

from ..common.model_tokenizer import probe_tokenizer
from ..common.model_weights import stored_shapes
from ..common.untrusted import read_json, read_object
from .released import is_released

_BLOCK = 256
"""Texts that are tokenized at once."""
_DTYPES = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
_TOKENS, _POSITIONS = "wte.weight", "wpe.weight"
_MODULES = ["Transformer", "Pooling", "Normalize"]

Floats = npt.NDArray[np.float32]


class StaticEncoder:
    """A table of token embeddings.

    Args:
        tokenizer: which cuts at the longest input and appends what the model was trained with.
        tokens: rows of its vocabulary, [V, D]; bfloat16 as uint16, or floats.
        positions: rows of the positions, [P, D].
    """

    def __init__(self, tokenizer: Any, tokens: npt.NDArray[Any], positions: npt.NDArray[Any]) -> None:
        self._tokenizer, self._tokens = tokenizer, tokens
        self.dimension = tokens.shape[1]
        # Row n: the sum of the first n positions.
        sums = np.cumsum(_floats(positions), axis=0, dtype=np.float64)
        self._positions = np.concatenate([np.zeros((1, self.dimension)), sums]).astype(np.float32)

    @classmethod
    def open(cls, folder: Path) -> StaticEncoder | None:
        """Open a model folder; None if it is not that of a model without blocks.

        Raises:
            ValueError: it is, and is damaged.
        """
        if not _is_table(folder):
            return None
        weights = folder / "model.safetensors"
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in _read_safetensors(weights).items()}
        tokens, positions = tensors.get(_TOKENS), tensors.get(_POSITIONS)
        if tokens is None or positions is None or tokens.ndim != 2 or positions.shape[1:] != tokens.shape[1:]:
            raise ValueError(f"{weights} lacks {_TOKENS} or {_POSITIONS}, or they do not fit: copy it again")
        if not is_released(folder) and probe_tokenizer(folder / "tokenizer.json") >= len(tokens):
            raise ValueError(f"{folder / 'tokenizer.json'} gives token ids beyond the {len(tokens)} rows of {weights}")
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = read_object(folder / "tokenizer_config.json")
        longest = min(len(positions), int(settings.get("model_max_length", len(positions))))
        tokenizer.enable_truncation(longest)
        tokenizer.no_padding()
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
            encodings = self._tokenizer.encode_batch_fast(list(texts[start : start + _BLOCK]))
            for number, encoding in enumerate(encodings, start=start):
                ids, counts = np.unique(encoding.ids, return_counts=True)
                rows[number] = counts.astype(np.float32) @ _floats(self._tokens[ids.astype(np.int64)])
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
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    if not all((folder / name).is_file() for name in names):
        return False
    config = read_object(folder / "config.json")
    if config.get("model_type") != "codesage" or config.get("num_hidden_layers") != 0 or config.get("final_layer_norm"):
        return False
    if not (folder / "modules.json").exists():
        return True
    modules = read_json(folder / "modules.json")
    types = [str(module.get("type")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    if types not in (_MODULES, _MODULES[:2]) or not all(isinstance(module.get("path"), str) for module in modules):
        return False
    pooling = read_object(folder / str(modules[1]["path"]) / "config.json")
    settings = folder / "config_sentence_transformers.json"
    prompts = read_object(settings).get("prompts") if settings.exists() else None
    means = pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens") is True
    return means and not any((prompts or {}).values())


def _floats(values: npt.NDArray[Any]) -> Floats:
    """Rows of a table as float32."""
    if values.dtype == np.uint16:  # bfloat16: the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _read_safetensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensors of a file, mapped into memory; numpy has no bfloat16, so safetensors cannot give them as arrays."""
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
