"""How far names are covered by the words of a query, and the query by them.

Contract: `Names` holds the words of many names (of files, of folders, of definitions). `cover` gives for each name two
shares: of the query's words, by their rarity, that are in the name (`recall`), and of the name's words that are in the
query (`precision`). A word that only begins like another ("serializer" and "serialization") counts `ALIKE` of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ALIKE = 0.8
_SHARED = 4
"""Letters at the beginning that words have in common to be alike."""
_SHARED_PART = 0.6
_REST = 3


class Cover(NamedTuple):
    """Shares of the query and of each of M names: float64 [M] each, 0 to 1."""

    recall: Floats
    precision: Floats


class Names:
    """Names, as lists of words without endings.

    Args:
        names: M lists of words; an empty one is covered by nothing.
    """

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        numbers: dict[str, int] = {}
        self._flat = np.array(
            [numbers.setdefault(word, len(numbers)) for name in names for word in name], dtype=np.int64
        )
        self._lengths = np.array([len(name) for name in names], dtype=np.int64)
        self._full = np.flatnonzero(self._lengths)
        self._starts = (np.cumsum(self._lengths) - self._lengths)[self._full]
        self._numbers = numbers
        self._by_beginning: dict[str, list[str]] = {}
        for word in numbers:
            self._by_beginning.setdefault(word[:_SHARED], []).append(word)

    def cover(self, words: Sequence[str], rarity: Floats) -> Cover:
        """Compare all names with the words of a query.

        Args:
            words: W distinct words without endings.
            rarity: of the words: float64 [W].
        """
        recall, precision = np.zeros(len(self._lengths)), np.zeros(len(self._lengths))
        if not len(self._full) or not len(words):
            return Cover(recall, precision)
        alike = np.zeros((len(words), len(self._numbers)))
        for row, word in zip(alike, words, strict=True):
            for other in self._by_beginning.get(word[:_SHARED], ()):
                row[self._numbers[other]] = _likeness(word, other)
        for row, weight in zip(alike, rarity / rarity.sum(), strict=True):
            if row.any():
                recall[self._full] += weight * np.maximum.reduceat(row[self._flat], self._starts)
        covered = np.add.reduceat(alike.max(axis=0)[self._flat], self._starts)
        precision[self._full] = covered / self._lengths[self._full]
        return Cover(recall, precision)


def _likeness(word: str, other: str) -> float:
    """1 for the same word, `ALIKE` for one that begins like it, else 0."""
    if word == other:
        return 1.0
    shared = next(
        (place for place, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other))
    )
    longer, shorter = max(len(word), len(other)), min(len(word), len(other))
    is_alike = shared >= _SHARED and shared >= _SHARED_PART * longer and shared >= shorter - _REST
    return ALIKE if is_alike else 0.0
