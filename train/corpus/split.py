"""Which code is held out: whole modules and packages, never single files of one or single functions of a file.

Contract: `tree_units` names the unit of every file of a source tree; `choose_held_out` picks the units that no training
step sees. Both are pure functions: the same files, pairs and seed give the same split on every machine.

Invariant: a unit is wholly held out or wholly in training, and training keeps at least half of the pairs.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..common.randomness import draw

LARGEST_UNIT = 0.05
"""A folder with more than this share of all bytes is not one unit: its children are."""


@dataclass(frozen=True)
class HeldOut:
    """The outcome of `choose_held_out`.

    Attributes:
        units: the units held out, sorted.
        pairs: how many pairs they hold.
        wanted: how many pairs were asked for, after the cap for small corpora.
    """

    units: tuple[str, ...]
    pairs: int
    wanted: int


def tree_units(sizes: Mapping[str, int]) -> dict[str, str]:
    """Find the unit of every file: its outermost folder that holds at most `LARGEST_UNIT` of all bytes, or the file.

    So many packages side by side are a unit each, one flat folder of modules gives a unit per module, and a large
    package is taken apart as far as needed.

    Args:
        sizes: size in bytes of every file by its path, with `/` between the parts.
    """
    weight: Counter[str] = Counter()
    for path, size in sizes.items():
        for folder in _folders(path):
            weight[folder] += size
    limit = LARGEST_UNIT * sum(sizes.values())
    return {path: next((folder for folder in _folders(path) if weight[folder] <= limit), path) for path in sizes}


def _folders(path: str) -> list[str]:
    """The folders above a file, outermost first, without the empty one."""
    return [str(folder) for folder in reversed(PurePosixPath(path).parents)][1:]


def choose_held_out(pairs: Mapping[str, int], share: float, minimum: int, seed: int) -> HeldOut:
    """Take units in an order drawn from the seed until their pairs reach both the share and the minimum.

    The minimum is capped at a fifth of all pairs, and a unit that would bring more than half of all pairs is passed
    over, so that a small or lopsided corpus keeps something to train on.

    Args:
        pairs: number of pairs of every unit.
        share: wanted share of all pairs.
        minimum: wanted number of pairs.
        seed: seed of the order; a unit's place depends on the seed and its name only.

    Raises:
        ValueError: no unit can be held out, or nothing would be left to train on.
    """
    total = sum(pairs.values())
    wanted = max(1, math.ceil(share * total), min(minimum, total // 5))
    chosen: list[str] = []
    held = 0
    for unit in sorted(pairs, key=lambda unit: draw(f"{seed}\0{unit}", 64)):
        if held >= wanted:
            break
        if held + pairs[unit] <= total // 2:
            chosen.append(unit)
            held += pairs[unit]
    if held == 0:
        raise ValueError(
            f"{total} documented functions in {len(pairs)} modules or packages are too few to hold some out: "
            "give more source code (at least two modules with documented functions)"
        )
    return HeldOut(tuple(sorted(chosen)), held, wanted)
