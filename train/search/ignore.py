"""What git would ignore in a tree, by the library pathspec.

Contract: `IgnoreRules(root)` knows the `.gitignore` files from the top of the repository down to `root`, and its
`info/exclude`; `enter(folder)` adds those of a folder below. As in git the deepest file that says something about a
path decides, and in a file its last line; what is in an ignored folder can not be taken back in: nobody looks there.
A root that git ignores is searched all the same, by its own files alone: whoever names it wants it.

Invariant: matching is bounded. Patterns with many wildcards can take a regular expression years; a line with more than
`MOST_WILDCARDS` is not followed, and reported.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec, Pattern

from . import repository
from .repository import read_lines

MOST_WILDCARDS = 3
"""Runs of `*` in one line, one at its end aside."""

_NAME = ".gitignore"
_WILDCARD = re.compile(r"\*+(?=.)")

Report = Callable[[str, str], None]
"""Is told the path of a file of rules, with the line, and why it is not followed."""


class _Rule(NamedTuple):
    """One line that says something.

    The library takes what is inside a matched folder for matched, too. Over several files that says too much: a folder
    that is taken back in would bring files with it that other lines ignore. So a pattern is shown as many components as
    it has itself, and matches a path or does not.

    Attributes:
        pattern: what the line matches, by the library.
        ignores: whether that is ignored; if not, it is taken back in.
        folders_only: whether the line ends with a slash.
        floats: whether it matches at any depth.
        components: how many components it has; 0 if two stars stand for any number.
    """

    pattern: Pattern
    ignores: bool
    folders_only: bool
    floats: bool
    components: int

    def matches(self, components: list[str], is_folder: bool) -> bool:
        """Whether the line means a path, given by its components."""
        if self.folders_only and not is_folder:
            return False
        if self.components and self.floats:
            components = components[-self.components :]
        elif self.components and len(components) != self.components:
            return False
        return self.pattern.match_file("/".join(components) + "/" * self.folders_only) is not None


class _Level(NamedTuple):
    """The rules of one file, last line first, and how many folders below the top it lies."""

    depth: int
    rules: list[_Rule]


class IgnoreRules:
    """The rules that hold in a folder.

    Args:
        root: a folder, absolute and without symbolic links.
        report: is told what of the rules can not be followed.
    """

    def __init__(self, root: Path, report: Report) -> None:
        found = repository.find(root)
        top = found.top if found else root
        above = [*reversed(root.relative_to(top).parents), root.relative_to(top)][:-1] if root != top else []
        self._report = report
        self._prefix = _as_folder(root.relative_to(top).as_posix())
        self._levels = _read(found.exclude_file, "", report) if found else []
        for folder in above:
            self._levels += _read(top / folder / _NAME, _as_folder(folder.as_posix()), report)
        if above and self.ignore("", is_folder=True):
            self._levels = []
        self._levels += _read(root / _NAME, self._prefix, report)

    def enter(self, path: str, folder: Path) -> "IgnoreRules":
        """The rules that hold in a folder below.

        Args:
            path: the folder's path below the root, with slashes.
            folder: the same, absolute.
        """
        own = _read(folder / _NAME, f"{self._prefix}{path}/", self._report)
        if not own:
            return self
        below = object.__new__(IgnoreRules)
        below._report, below._prefix, below._levels = self._report, self._prefix, [*self._levels, *own]
        return below

    def ignore(self, path: str, is_folder: bool) -> bool:
        """Whether a path below the root is ignored, if the folder that it is in is not.

        Args:
            path: path below the root, with slashes.
            is_folder: whether it is a folder.
        """
        components = f"{self._prefix}{path}".rstrip("/").split("/")
        for depth, rules in reversed(self._levels):
            inside = components[depth:]
            for rule in rules:
                if rule.matches(inside, is_folder):
                    return rule.ignores
        return False


def _as_folder(path: str) -> str:
    return "" if path == "." else f"{path}/"


def _read(file: Path, folder: str, report: Report) -> list[_Level]:
    """The rules of a file as a list of one level, or of none if there is no such file."""
    if not os.path.lexists(file):
        return []
    lines = read_lines(file)
    if lines is None:
        report(str(file), "ignore_file_unreadable")
        return []
    rules: list[_Rule] = []
    for number, line in enumerate(lines, start=1):
        if len(_WILDCARD.findall(line.rstrip())) > MOST_WILDCARDS:
            report(f"{file}:{number}", "ignore_rule_too_complex")
        else:
            rules += _rules(line)
    return [_Level(folder.count("/"), rules[::-1])]


def _rules(line: str) -> list[_Rule]:
    """What a line says: one rule or, if it is empty, a comment or no pattern, none."""
    try:
        patterns = GitIgnoreSpec.from_lines([line]).patterns
    except ValueError:  # as in git, a line that makes no sense matches nothing
        return []
    text = line.removeprefix("!").rstrip(" ")
    inner = text.rstrip("/")
    floats = "/" not in inner
    inner = inner.removeprefix("/")
    while inner.startswith("**/"):
        inner, floats = inner.removeprefix("**/"), True
    components = inner.split("/")
    fixed = "**" not in components or (floats and len(components) == 1)
    return [
        _Rule(pattern, pattern.include, text.endswith("/"), floats, len(components) if fixed else 0)
        for pattern in patterns
        if pattern.include is not None
    ]
