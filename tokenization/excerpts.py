"""A part of a text with spans taken out, set flush left.

Positions are bytes of UTF-8 data without NUL (`source.parse` lets none in). The work is linear in the length of the
excerpt, also when all of it is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Span = tuple[int, int]

_GAP = "\0"
_BLANK = re.compile(rb"[ \t\f\v]*")


def excerpt(data: bytes, span: Span, without: Iterable[Span] = ()) -> str:
    r"""The text of a span, without the given spans in it.

    A line of which only blanks are left goes as a whole, and with it the blank lines below. Line ends become `\n`.
    Blank lines at both ends go; the indentation of the first line is taken from all lines, as far as they have it.

    Args:
        data: The whole text in UTF-8.
        span: Start and end of the part.
        without: Start and end of what is taken out; spans may be nested, those outside the part have no effect.
    """
    start, end = span
    position = start
    parts = [_indentation(data, start)]
    for first, last in sorted(without):
        if first < end and last > position:
            parts += data[position:first], _GAP.encode()
            position = min(last, end)
    parts.append(data[position:end])
    text = b"".join(parts).decode("utf-8", "surrogatepass")
    kept: list[str] = []
    is_gone = False
    for line in re.sub(r"\r\n?", "\n", text).split("\n"):
        if line.strip(" \t\f\v" + _GAP):
            kept.append(line.replace(_GAP, ""))
            is_gone = False
        else:
            is_gone = is_gone or _GAP in line
            kept += [] if is_gone else [line]
    return _flush_left(kept)


def _indentation(data: bytes, position: int) -> bytes:
    """The blanks at the start of the line of a position (all of them stand before it)."""
    match = _BLANK.match(data, data.rfind(b"\n", 0, position) + 1, position)
    return match[0] if match else b""


def _flush_left(lines: list[str]) -> str:
    text = "\n".join(lines).rstrip()
    lines = text.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    if not lines:
        return ""
    indentation = lines[0][: len(lines[0]) - len(lines[0].lstrip(" \t"))]
    return "\n".join(
        line.removeprefix(indentation) if line.startswith(indentation) else line.lstrip(" \t") for line in lines
    )
