"""Embeddings of a model without blocks, by numpy: no torch, no transformers, and the same vectors.

Purpose: a CodeSage model of no layers is a table. Its embedding of a text is the mean over its tokens of their rows and
of the rows of their positions. Opening the libraries that run any model takes ten times as long as this takes for a
whole search.

Contract: `StaticEncoder.open(folder)` gives None for a model that computes anything else, which has to be opened by
`retrieval.encoder`; otherwise `embed` returns what sentence-transformers would, to the precision of float32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MODULES = ("Transformer", "Pooling", "Normalize")
_BLOCK = 256
"""Texts that are tokenized at once."""


class StaticEncoder:
    """A table of token embeddings.

    Args:
        folder: the model's folder.
        tokenizer: its tokenizer, which cuts at the longest input and appends the end token.
        tokens: rows of its vocabulary, [V, D], bfloat16 as uint16, or floats.
        positions: sums of the rows of the first positions: float32 [P + 1, D], row n of n positions.
    """

    def __init__(self, tokenizer: Any, tokens: npt.NDArray[Any], positions: npt.NDArray[np.float32]) -> None:
        self._tokenizer, self._tokens, self._positions = tokenizer, tokens, positions
        self.dimension = tokens.shape[1]

    @classmethod
    def open(cls, folder: Path) -> StaticEncoder | None:
        """Open a model folder; None if it is not that of a model without blocks."""
        config = _object(folder / "config.json")
        if config.get("model_type") != "codesage" or config.get("num_hidden_layers") != 0 or config.get("final_layer_norm"):
            return None
        from tokenizers import Tokenizer

        stored = _read_safetensors(folder / "model.safetensors")
        names = {name.removeprefix("transformer."): value for name, value in stored.items()}
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = _object(folder / "tokenizer_config.json")
        longest = min(config["max_position_embeddings"], settings.get("model_max_length", 1 << 30))
        tokenizer.enable_truncation(longest)
        tokenizer.no_padding()
        if settings.get("split_special_tokens"):
            tokenizer.encode_special_tokens = True
        positions = _floats(names["wpe.weight"][:longest])
        sums = np.concatenate([np.zeros((1, positions.shape[1]), np.float32), np.cumsum(positions, 0, dtype=np.float64)])
        return cls(tokenizer, names["wte.weight"], sums.astype(np.float32))

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts: float32 [number of texts, D], each of length 1."""
        rows = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _BLOCK):
            some = list(texts[start : start + _BLOCK])
            for number, encoding in enumerate(self._tokenizer.encode_batch_fast(some), start=start):
                ids, counts = np.unique(encoding.ids, return_counts=True)
                row = counts.astype(np.float32) @ _floats(self._tokens[ids])
                row += self._positions[len(encoding.ids)]
                rows[number] = row
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _object(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _floats(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Rows of a table as float32."""
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


_DTYPES = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}


def _read_safetensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    data = np.memmap(file, np.uint8, mode="r")
    length = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8 : 8 + length]))
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {
        name: body[slice(*each["data_offsets"])].view(_DTYPES[each["dtype"]]).reshape(each["shape"])
        for name, each in header.items()
    }
