"""From signals to an order: the sum of all, and one file's further results behind other files.

Contract: `rank` gives the best units for a question, ties broken by path and line: the order depends on the tree, the
model and the query only.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .signals import ALIKE_SIGNALS, FILE_SIGNALS, UNIT_SIGNALS, Question, Signal, penalties

FURTHER = 4.0
"""How much each further result of a file is lowered: by more than signals usually differ, so files take turns."""

_RESOLUTION = 1e-6
"""Scores that differ by less are equal."""


class Ranked(NamedTuple):
    """A unit's number, and the score by which it is ranked."""

    unit: int
    score: float


Signals = tuple[Mapping[Signal, float], Mapping[Signal, float]]
"""Those of units and those of files, with their weights."""

ANSWERS: Signals = (UNIT_SIGNALS, FILE_SIGNALS)
ALIKE: Signals = (ALIKE_SIGNALS, {})
"""For code that is like other code: names of files and their size say nothing about that."""


def rank(
    asked: Question, k: int, among: npt.NDArray[np.bool_] | None = None, signals: Signals = ANSWERS
) -> list[Ranked]:
    """Rank the units of a collection.

    Args:
        asked: the query and what is searched.
        k: how many to give.
        among: which units may be given: bool [N]; all if None. The others still count in what is common and what is
            rare, so scores do not depend on it.
        signals: which decide.
    """
    scores = score(asked, signals)
    candidates = np.arange(len(scores)) if among is None else np.flatnonzero(among)
    order = candidates[np.argsort(-np.round(scores[candidates] / _RESOLUTION), kind="stable")]
    return _taking_turns(order, scores, asked.searched.file_of, k)


def score(asked: Question, signals: Signals = ANSWERS) -> npt.NDArray[np.float64]:
    """The sum of signals, by their weights, less the penalties: float64 [N]."""
    of_unit, of_file = signals
    searched = asked.searched
    of_files = -penalties(asked)
    for signal, weight in of_file.items():
        of_files += weight * signal(asked)
    total = of_files[searched.file_of]
    for signal, weight in of_unit.items():
        total += weight * signal(asked)
    return total


def _taking_turns(
    order: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], file_of: npt.NDArray[np.int64], k: int
) -> list[Ranked]:
    """The best `k` after each unit is lowered by the number of better ones of its file."""
    seen: Counter[int] = Counter()
    best: list[tuple[float, int, int]] = []  # a heap of (score, -place, unit): the worst of the best comes first
    for place, unit in enumerate(order.tolist()):
        if len(best) == k and scores[unit] <= best[0][0]:
            break  # what comes later scores no higher
        file = int(file_of[unit])
        entry = float(scores[unit]) - FURTHER * seen[file], -place, unit
        seen[file] += 1
        if len(best) < k:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    return [Ranked(unit, value) for value, _, unit in sorted(best, reverse=True)]
