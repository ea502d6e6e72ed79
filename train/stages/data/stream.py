"""The rows of a training run as one long sequence, in which an index says everything.

Contract: item i of an `EpochStream` is a row of epoch i // n (n rows), at place i % n of that epoch's own order. Read
with a sequential sampler, the whole run is a pure function of the index, so a Trainer that skips the first items on
resume is exactly where it was, with any number of loader processes.

Invariant: every epoch has every row once, but for the last, which may be cut short.
"""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch.utils.data import Dataset

from ...common.randomness import derive, permutation

_ORDER = 2**64 - 1
"""Keeps orders apart from masks: `masking` gives the word after the seed to the epoch, which is never this large."""


class EpochStream(Dataset[dict[str, Any]]):
    """A map-style dataset over several epochs of a dataset of lists of numbers, or of texts.

    Give it to a Trainer with `train_sampling_strategy="sequential"` and `remove_unused_columns=False`.

    Args:
        rows: the dataset; every column holds lists of numbers, or strings.
        seed: seed of the orders.
        length: number of items, over all epochs.

    Raises:
        ValueError: there are no rows.
    """

    def __init__(self, rows: datasets.Dataset, seed: int, length: int) -> None:
        if not len(rows):
            raise ValueError(
                "there are no rows to train on: the corpus gave no tokens for this split and these languages"
            )
        self._rows = rows.with_format("arrow")
        self._seed = seed
        self._length = length
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the columns of a row, lists as NumPy arrays, its `row_id` in the dataset and its `epoch`."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return several items at once, as PyTorch's loader asks for them."""
        for index in indices:
            if not 0 <= index < self._length:
                raise IndexError(f"item {index} of a stream of {self._length} items")
        places = [divmod(index, len(self._rows)) for index in indices]
        row_ids = [int(self._order(epoch)[place]) for epoch, place in places]
        columns = _columns(self._rows[row_ids])
        return [
            {name: lists[i] for name, lists in columns.items()} | {"row_id": row_id, "epoch": epoch}
            for i, (row_id, (epoch, _)) in enumerate(zip(row_ids, places, strict=True))
        ]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch not in self._orders:
            if len(self._orders) == 2:  # a batch may lie across the end of an epoch, so two orders are kept
                del self._orders[min(self._orders)]
            self._orders[epoch] = permutation(derive(derive(self._seed, _ORDER), epoch), len(self._rows))
        return self._orders[epoch]


def _columns(table: pa.Table) -> dict[str, list[Any]]:
    """Split every list column into one array per row, without a copy per row."""
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        if not pa.types.is_list(table.column(name).type):
            columns[name] = table.column(name).to_pylist()
            continue
        lists = pa.concat_arrays(table.column(name).chunks)
        values = lists.values.to_numpy()
        columns[name] = [
            values[a:b] for a, b in zip(lists.offsets[:-1].to_numpy(), lists.offsets[1:].to_numpy(), strict=True)
        ]
    return columns
