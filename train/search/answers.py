"""How answers are shown: a line each, with lines of code on demand, coloured on a terminal; or as JSON.

Contract: a line is `path:line: signature`, which editors open as they open what `grep -n` writes. Colours are written
to a terminal only, and not if NO_COLOR is set. Text of the tree is spelled out by `console.printable` before anything
is added to it.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from ..common.console import printable, say
from .files import read_bytes
from .index import Hit

_MOST_CHARACTERS = 200
"""Of a line of code that is shown."""
_PATH, _LINE, _END = "\x1b[35m", "\x1b[32m", "\x1b[0m"


def show(hits: list[Hit], context: int) -> None:
    """Write hits to standard output, best first.

    Args:
        hits: what was found.
        context: so many lines of code with each.
    """
    colored = is_colored()
    for number, hit in enumerate(hits):
        if context and number:
            say("")
        _write(_head(hit, colored), colored)
        if context:
            for line in _code(hit, context, colored):
                _write(line, colored)


def as_object(hit: Hit, context: int = 0) -> dict[str, Any]:
    """A hit as JSON has it: its path begins with the tree as it was given."""
    entry = {name: value for name, value in dataclasses.asdict(hit).items() if name != "tree"}
    entry["path"] = str(Path(hit.tree) / hit.path)
    if context:
        entry["code"] = "\n".join(lines_of(hit, context))
    return entry


def lines_of(hit: Hit, most: int) -> list[str]:
    """The first lines of a hit; none if its file is gone."""
    try:
        content = read_bytes(Path(hit.tree) / hit.path)
    except OSError:
        return []
    lines = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line[:_MOST_CHARACTERS] for line in lines[hit.line - 1 : min(hit.end_line, hit.line - 1 + most)]]


def is_colored() -> bool:
    """Whether standard output is a terminal that wants colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _head(hit: Hit, colored: bool) -> str:
    path, signature = printable(str(Path(hit.tree) / hit.path)), printable(hit.signature)
    if colored:
        return f"{_PATH}{path}{_END}:{_LINE}{hit.line}{_END}: {signature}"
    return f"{path}:{hit.line}: {signature}"


def _code(hit: Hit, context: int, colored: bool) -> list[str]:
    lines = [printable(line.expandtabs(4)) for line in lines_of(hit, context)]
    if colored:
        lines = _highlighted(lines, hit.path)
    width = len(str(hit.line + len(lines)))
    return [f"  {number:>{width}}  {line}".rstrip() for number, line in enumerate(lines, start=hit.line)]


def _highlighted(lines: list[str], path: str) -> list[str]:
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(path, stripnl=False)
    except ClassNotFound:
        return lines
    colored = highlight("\n".join(lines), lexer, TerminalFormatter()).split("\n")
    return colored[: len(lines)] if len(colored) >= len(lines) else lines


def _write(line: str, colored: bool) -> None:
    if colored:  # every part that is a stranger's has been spelled out
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    else:
        say(line)
