"""Any model as the encoder of a search: by numpy where it is a table, else through sentence-transformers.

Contract: `open_encoder` opens a folder or Hub id. The embeddings of either kind have length 1 and are finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from .static_encoder import StaticEncoder, unit_length

if TYPE_CHECKING:
    from ..retrieval.encoder import Encoder

_BATCH_SIZE = 32


class TextEncoder(Protocol):
    """What a search needs of a model."""

    dimension: int

    def queries(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed queries: float32 [number of texts, D], of length 1."""

    def documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed what is searched: float32 [number of texts, D], of length 1."""


def open_encoder(model: str, dimension: int | None = None) -> TextEncoder:
    """Open a model.

    Args:
        model: folder or Hub id.
        dimension: how many dimensions of the embeddings are kept; all if None.

    Raises:
        ValueError: it cannot be opened, or has fewer dimensions.
    """
    folder = Path(model)
    table = StaticEncoder.open(folder) if folder.is_dir() else None
    encoder: TextEncoder = table if table is not None else _Model(model)
    if dimension is None or dimension == encoder.dimension:
        return encoder
    if not 0 < dimension <= encoder.dimension:
        raise ValueError(f"dimension is {dimension}, but {model} gives embeddings of {encoder.dimension}")
    return _Shortened(encoder, dimension)


class _Model:
    """A model of sentence-transformers."""

    def __init__(self, model: str) -> None:
        from transformers.utils import logging

        from ..retrieval.encoder import Encoder

        if Path(model).is_dir():
            logging.disable_progress_bar()  # opening a folder is short; a download of a Hub id keeps its bar
        self._encoder: Encoder = Encoder(model, _BATCH_SIZE, show_progress=False)
        width = self._encoder.model.get_embedding_dimension()
        self.dimension = width if width is not None else self.queries(["."]).shape[1]

    def queries(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return unit_length(self._encoder.queries(list(texts)).numpy())

    def documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return unit_length(self._encoder.documents(list(texts)).numpy())


class _Shortened:
    """The first dimensions of another encoder's embeddings."""

    def __init__(self, encoder: TextEncoder, dimension: int) -> None:
        self._encoder, self.dimension = encoder, dimension

    def queries(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return unit_length(self._encoder.queries(texts)[:, : self.dimension])

    def documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return unit_length(self._encoder.documents(texts)[:, : self.dimension])
