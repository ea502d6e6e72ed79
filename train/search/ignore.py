"""What git would ignore in a tree, and what its `.codesageignore` files add.

Contract: `IgnoreRules(root)` knows the `.gitignore` files from the top of the repository down to `root`, and its
`info/exclude`; `enter(folder)` adds those of a folder below, and if that is a repository of its own, begins with its
rules. As in git the deepest file that says something about a path decides, and in a file its last line; what is in an
ignored folder cannot be taken back in: nobody looks there. A `.codesageignore` has the same form, and comes before the
`.gitignore` beside it. A root that git ignores is searched all the same, by its own files alone: whoever names it wants
it.

Invariant: time is bounded, whatever the rules are (see `gitignore`). Files beyond `MOST_STATES` in force at one place
are not followed, and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import repository
from .gitignore import RuleSet
from .repository import Repository, read_lines

MOST_STATES = 1_000_000
"""Of all rules that are in force at one place, together: about as many as their characters."""

_NAMES = (".gitignore", ".codesageignore")
"""Files of rules; the later decide over the earlier."""

Report = Callable[[str, str], None]
"""Is told the path of a file of rules, and why it is not followed."""


class _Level(NamedTuple):
    """The rules of one file, and how many folders below the top it lies."""

    depth: int
    rules: RuleSet


class IgnoreRules:
    """The rules that hold in a folder.

    Args:
        root: a folder, absolute and without symbolic links.
        report: is told what of the rules is not followed.
    """

    def __init__(self, root: Path, report: Report) -> None:
        found = repository.find(root)
        top = found.top if found else root
        inside = root.relative_to(top)
        self._report = report
        self._prefix = _as_folder(inside.as_posix())
        self._levels: list[_Level] = []
        self._add_excluded(found)
        above = [*reversed(inside.parents), inside][:-1] if root != top else []
        for folder in above:
            self._add(top / folder, _as_folder(folder.as_posix()))
        if above and self.ignore("", is_folder=True):
            self._levels = []
        self._add(root, self._prefix)

    def enter(self, path: str, folder: Path) -> IgnoreRules:
        """The rules that hold in a folder below.

        Args:
            path: the folder's path below the root, with slashes.
            folder: the same, absolute.
        """
        below = object.__new__(IgnoreRules)
        below._report, below._prefix, below._levels = self._report, self._prefix, [*self._levels]
        if own := repository.at(folder):  # git asks a repository inside for its own rules, and no others
            below._levels = []
            below._add_excluded(own, f"{self._prefix}{path}/")
        below._add(folder, f"{self._prefix}{path}/")
        return below if len(below._levels) != len(self._levels) or own else self

    def ignore(self, path: str, is_folder: bool) -> bool:
        """Whether a path below the root is ignored, if the folder that it is in is not.

        Args:
            path: path below the root, with slashes.
            is_folder: whether it is a folder.
        """
        components = os.fsencode(f"{self._prefix}{path}".rstrip("/")).split(b"/")
        for depth, rules in reversed(self._levels):
            decided = rules.decide(b"/".join(components[depth:]), is_folder)
            if decided is not None:
                return decided
        return False

    def _add_excluded(self, found: Repository | None, folder: str = "") -> None:
        if found is not None:
            self._add_file(found.exclude_file, folder)

    def _add(self, folder: Path, path: str) -> None:
        for name in _NAMES:
            self._add_file(folder / name, path)

    def _add_file(self, file: Path, folder: str) -> None:
        if not os.path.lexists(file):
            return
        lines = read_lines(file)
        if lines is None:
            self._report(str(file), "ignore_file_unreadable")
            return
        rules = RuleSet(lines)
        if sum(level.rules.size for level in self._levels) + rules.size > MOST_STATES:
            self._report(str(file), "ignore_rules_too_many")
        elif rules:
            self._levels.append(_Level(folder.count("/"), rules))


def _as_folder(path: str) -> str:
    return "" if path == "." else f"{path}/"
