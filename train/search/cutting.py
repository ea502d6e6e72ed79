"""A text cut into units: what a search can find.

Contract: `cut` cuts a text along its outline: functions are units; definitions that hold others (classes, structures,
modules …) are units without the functions and definitions inside them; what is outside of all is cut where statements
begin, into units of about `LIMIT` characters. So every line of code is in a unit, and a unit knows what it defines and
in which definitions it is. Where the outline comes from is told in `grammar_outline` and `plain_outline`.

Invariant: a line of more than `LONGEST_LINE` characters is in no unit; it costs itself and not the file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

LIMIT = 1500
"""Characters of a unit of what is outside functions, about."""
LONGEST_LINE = 1000

FUNCTION = "function"
VALUES = frozenset({"constant", "macro"})
"""Kinds of definitions that are no units of their own; what they are in knows their names."""
CODE = "code"
"""The kind of units outside all definitions."""

_WORD = re.compile(r"[^\W_]{2}")
_LEAST_LINES = 3
"""Definitions of fewer lines are treated as values: a type alias."""


@dataclass(frozen=True)
class Unit:
    """A part of a file that can be found.

    Attributes:
        kind: "function", another kind of definition ("class", "struct", "interface", "trait", "enum", "type",
            "module"), "code" for what is outside, "text" and "section" for prose.
        names: what it defines, without the definitions around.
        scope: the names of the definitions around, outermost first.
        code: its text, without the documentation above it.
        documentation: that documentation; of a function also that inside it, as plain text.
        start_line: its first line, from 1.
        end_line: its last line, inclusive.
    """

    kind: str
    names: tuple[str, ...]
    scope: tuple[str, ...]
    code: str
    documentation: str
    start_line: int
    end_line: int


@dataclass(eq=False)
class Definition:
    """A definition in an outline (lines from 0).

    Attributes:
        kind: as of a unit, or one of `VALUES`.
        name: what it defines.
        start: its first line, behind the documentation.
        end: its last line.
        documented_from: the first line of the documentation above it.
        documentation: text of its documentation; the lines above it if None.
        code: its text; its lines if None.
    """

    kind: str
    name: str
    start: int
    end: int
    documented_from: int
    documentation: str | None = None
    code: str | None = None
    around: Definition | None = None
    lines: list[int] = field(default_factory=list)

    @property
    def is_value(self) -> bool:
        """Whether it is no unit of its own."""
        return self.kind in VALUES or (self.kind != FUNCTION and self.end - self.start + 1 < _LEAST_LINES)

    @property
    def scope(self) -> tuple[str, ...]:
        """Names of the definitions around."""
        return (*self.around.scope, self.around.name) if self.around else ()


@dataclass(frozen=True)
class Outline:
    """What is defined in a text, and where.

    Attributes:
        definitions: in any order.
        statement_lines: gives the lines (from 0) on which something begins, where outside code may be cut.
        without: lines that are in no unit, such as those of a licence header.
    """

    definitions: list[Definition]
    statement_lines: Callable[[], set[int]]
    without: range = range(0)


def cut(lines: Sequence[str], outline: Outline) -> list[Unit]:
    """Cut a text.

    Args:
        lines: its lines, without their ends.
        outline: what is defined in it.

    Returns:
        Units in order.
    """
    owners: list[Definition | None] = [None] * len(lines)
    taken = [len(line) > LONGEST_LINE for line in lines]
    for number in outline.without:
        taken[number] = True
    holders = _nest([each for each in outline.definitions if not each.is_value and each.kind != FUNCTION])
    for holder in holders:
        owners[holder.start : holder.end + 1] = [holder] * (holder.end + 1 - holder.start)
        _take(taken, holder.documented_from, holder.start)
    values: dict[int, list[str]] = {each.start: [] for each in outline.definitions if each.is_value}
    for each in outline.definitions:
        if each.is_value:
            values[each.start].append(each.name)
        elif each.kind == FUNCTION:
            each.around = owners[each.start]
            _take(taken, each.documented_from, each.end + 1)
    outside: list[int] = []
    for number, owner in enumerate(owners):
        if not taken[number]:
            (outside if owner is None else owner.lines).append(number)
    units = [_function(lines, each) for each in outline.definitions if each.kind == FUNCTION]
    cutter = _Cutter(lines, values, outline.statement_lines)
    for holder in holders:
        pieces = cutter.pieces(holder.lines, holder.kind, (*holder.scope, holder.name))
        for first in pieces[:1]:
            names = (holder.name, *first.names)
            units.append(replace(first, names=names, scope=holder.scope, documentation=_documentation(lines, holder)))
        units += pieces[1:]
    units += cutter.pieces(outside, CODE, ())
    return sorted(
        (unit for unit in units if _WORD.search(unit.code)), key=lambda unit: (unit.start_line, unit.end_line)
    )


def _nest(holders: list[Definition]) -> list[Definition]:
    """Put definitions in order, outer ones first, and tell each what is around it."""
    holders = sorted(holders, key=lambda each: (each.start, -each.end))
    around: list[Definition] = []
    for each in holders:
        while around and around[-1].end < each.end:
            around.pop()
        each.around = around[-1] if around else None
        around.append(each)
    return holders


def _take(taken: list[bool], start: int, end: int) -> None:
    taken[start:end] = [True] * (end - start)


def _function(lines: Sequence[str], each: Definition) -> Unit:
    code = textwrap.dedent("\n".join(lines[each.start : each.end + 1])) if each.code is None else each.code
    if len(code) > LONGEST_LINE:
        code = "\n".join(line for line in code.split("\n") if len(line) <= LONGEST_LINE)
    return Unit(FUNCTION, (each.name,), each.scope, code, _documentation(lines, each), each.start + 1, each.end + 1)


def _documentation(lines: Sequence[str], each: Definition) -> str:
    if each.documentation is not None:
        return each.documentation
    above = (line.strip() for line in lines[each.documented_from : each.start])
    return "\n".join(line for line in above if len(line) <= LONGEST_LINE)


class _Cutter:
    """Cuts lines into pieces."""

    def __init__(
        self, lines: Sequence[str], values: dict[int, list[str]], statement_lines: Callable[[], set[int]]
    ) -> None:
        self._lines, self._values, self._statement_lines = lines, values, statement_lines
        self._starts: set[int] | None = None

    def pieces(self, numbers: list[int], kind: str, scope: tuple[str, ...]) -> list[Unit]:
        """Units of some lines, each of about `LIMIT` characters."""
        return [
            Unit(kind, self._names(piece), scope, self._text(piece), "", piece[0] + 1, piece[-1] + 1)
            for piece in map(self._trimmed, self._split(numbers))
            if piece
        ]

    def _split(self, numbers: list[int]) -> Iterator[list[int]]:
        size, left = 0, sum(len(self._lines[number]) for number in numbers)
        piece: list[int] = []
        for number in numbers:
            if size >= LIMIT and left > LIMIT // 3 and (self._may_begin(number) or size >= 2 * LIMIT):
                yield piece
                piece, size = [], 0
            piece.append(number)
            size += len(self._lines[number])
            left -= len(self._lines[number])
        yield piece

    def _may_begin(self, number: int) -> bool:
        if self._starts is None:
            self._starts = self._statement_lines()
        return number in self._starts

    def _trimmed(self, piece: list[int]) -> list[int]:
        """A piece without blank lines at its ends."""
        full = [place for place, number in enumerate(piece) if self._lines[number].strip()]
        return piece[full[0] : full[-1] + 1] if full else []

    def _names(self, piece: list[int]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for number in piece for name in self._values.get(number, ())))

    def _text(self, piece: list[int]) -> str:
        return "\n".join(self._lines[number].rstrip() for number in piece)
