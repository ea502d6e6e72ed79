"""What is searched, in memory: units, their files, and what the signals look things up in.

Contract: a `Collection` is made of the rows of an index, once; everything that signals need and that does not depend on
the query is computed here, when it is first asked for. Units are in the order of paths and lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .coverage import Names
from .words import Keys, Words, words_of

_NAMES_OF_UNIT = 8
"""Names of one unit that are compared with a query: constants may be many."""


class IndexedUnit(NamedTuple):
    """A unit as the index has it.

    Attributes:
        file: number of its file.
        kind: what it is; see `cutting.Unit`.
        names: what it defines.
        scope: names of the definitions around.
        signature: on one line, as it is in the file.
        start_line: its first line, from 1.
        end_line: its last line, inclusive.
    """

    file: int
    kind: str
    names: tuple[str, ...]
    scope: tuple[str, ...]
    signature: str
    start_line: int
    end_line: int

    @property
    def name(self) -> str:
        """What it defines first, or what it is part of; empty if that has no name."""
        return next(iter((*self.names, *self.scope[-1:])), "")


class Collection:
    """Units that are searched together.

    Args:
        paths: of the F files, with slashes.
        languages: of the F files.
        units: the N units.
        embeddings: of the units: float32 [N, D], each of length 1.
        keys: of the units' words, one unit behind the other: uint32.
        key_counts: how many each unit has: int64 [N].
    """

    def __init__(
        self,
        paths: list[str],
        languages: list[str],
        units: list[IndexedUnit],
        embeddings: npt.NDArray[np.float32],
        keys: Keys,
        key_counts: npt.NDArray[np.int64],
    ) -> None:
        self.paths, self.languages, self.units, self.embeddings = paths, languages, units, embeddings
        self._keys, self._key_counts = keys, key_counts
        self.file_of = np.array([unit.file for unit in units], dtype=np.int64)
        self._paths_with: dict[re.Pattern[str], npt.NDArray[np.bool_]] = {}

    @classmethod
    def joined(cls, parts: Sequence[Collection]) -> Collection:
        """Several collections as one, in their order."""
        if len(parts) == 1:
            return parts[0]
        units: list[IndexedUnit] = []
        first = 0
        for part in parts:
            units += [unit._replace(file=unit.file + first) for unit in part.units]
            first += len(part.paths)
        return cls(
            [path for part in parts for path in part.paths],
            [language for part in parts for language in part.languages],
            units,
            np.concatenate([part.embeddings for part in parts if part.units] or [parts[0].embeddings]),
            np.concatenate([part._keys for part in parts]),
            np.concatenate([part._key_counts for part in parts]),
        )

    @cached_property
    def words(self) -> Words:
        """The words of units and paths."""
        paths = [words_of(_without_extension(path)) for path in self.paths]
        return Words(self._keys, self._key_counts, self.file_of, paths)

    def paths_with(self, pattern: re.Pattern[str]) -> npt.NDArray[np.bool_]:
        """Which paths have a pattern in them: bool [F]."""
        if pattern not in self._paths_with:
            found = [bool(pattern.search(path)) for path in self.paths]
            self._paths_with[pattern] = np.array(found, dtype=np.bool_)
        return self._paths_with[pattern]

    @cached_property
    def definitions(self) -> dict[str, list[int]]:
        """Numbers of the units that define a name, by the name in lower case."""
        places: dict[str, list[int]] = {}
        for number, unit in enumerate(self.units):
            for name in unit.names:
                places.setdefault(name.lower(), []).append(number)
        return places

    @cached_property
    def defined_names(self) -> tuple[Names, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The distinct names that units define; and pairs of a unit that defines one and the name's number."""
        numbers: dict[str, int] = {}
        pairs = [
            (unit, numbers.setdefault(name, len(numbers)))
            for unit, each in enumerate(self.units)
            for name in each.names[:_NAMES_OF_UNIT]
        ]
        units, names = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return Names([words_of(name) for name in numbers]), units, names

    @cached_property
    def file_names(self) -> Names:
        """The files' names, without what follows the first full stop."""
        return Names([words_of(PurePosixPath(path).name.partition(".")[0]) for path in self.paths])

    @cached_property
    def folder_names(self) -> Names:
        """The folders of the files."""
        return Names([words_of(path.rpartition("/")[0]) for path in self.paths])

    @cached_property
    def file_sizes(self) -> npt.NDArray[np.float64]:
        """How many units each file has: float64 [F]."""
        return np.bincount(self.file_of, minlength=len(self.paths)).astype(np.float64)

    @cached_property
    def file_depths(self) -> npt.NDArray[np.float64]:
        """How many folders each file is in: float64 [F]."""
        return np.array([path.count("/") for path in self.paths], dtype=np.float64)

    @cached_property
    def file_embeddings(self) -> npt.NDArray[np.float32]:
        """The mean of each file's units, of length 1: float32 [F, D]; zeros for a file without any."""
        sums = np.zeros((len(self.paths), self.embeddings.shape[1]), dtype=np.float32)
        if len(self.units):
            # Units of a file stand together, so sums of runs do what a loop over units would.
            starts = np.flatnonzero(np.diff(self.file_of, prepend=-1))
            sums[self.file_of[starts]] = np.add.reduceat(self.embeddings, starts, axis=0)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _without_extension(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.rpartition('.')[0] or name}"
