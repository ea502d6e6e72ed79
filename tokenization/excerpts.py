"""A part of a text with spans taken out, set flush left.

Positions are bytes of UTF-8 data without NUL (`source.parse` lets none in). The work is linear in the length of the
excerpt, also when all of it is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Span = tuple[int, int]

_GAP = "\0"
_BLANKS = " \t\f\v" + _GAP
_BLANK = re.compile(rb"(?:\xef\xbb\xbf)?([ \t\f\v]*)")  # behind a byte order mark, too


def excerpt(data: bytes, span: Span, without: Iterable[Span] = ()) -> str:
    r"""The text of a span, without the given spans in it.

    A line of which only blanks are left goes as a whole, and with it the blank lines below. Line ends become `\n`.
    Blank lines at both ends go; the indentation of the first line is taken from all lines, as far as they have it. If
    the part begins behind other text in its line, that is what the next line and the last one have in common, but no
    less than what that line has.

    Args:
        data: The whole text in UTF-8.
        span: Start and end of the part.
        without: Start and end of what is taken out; spans may be nested, those outside the part have no effect.
    """
    start, end = span
    position = start
    indentation, is_line = _indentation(data, start)
    parts = [indentation] if is_line else []
    for first, last in sorted(without):
        if first < end and last > position:
            parts += data[position:first], _GAP.encode()
            position = min(last, end)
    parts.append(data[position:end])
    text = b"".join(parts).decode("utf-8", "surrogatepass")
    kept: list[str] = []
    is_gone = False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.strip(_BLANKS):
            kept.append(line.replace(_GAP, "").rstrip(" \t") if _GAP in line else line)
            is_gone = False
        else:
            is_gone = is_gone or _GAP in line
            kept += [] if is_gone else [line]
    return _flush_left(kept, None if is_line else indentation.decode())


def _indentation(data: bytes, position: int) -> tuple[bytes, bool]:
    """The blanks at the start of the line of a position, and whether they are all that stands before it."""
    match = _BLANK.match(data, data.rfind(b"\n", 0, position) + 1, position)
    return (match[1], match.end() == position) if match else (b"", False)


def _flush_left(lines: list[str], around: str | None) -> str:
    """Take indentation off; `around` is that of the line in whose middle the text begins, None if it begins a line."""
    lines = "\n".join(lines).rstrip().split("\n")
    while len(lines) > 1 and not lines[0].strip():
        del lines[0]
        around = None
    if around is None:
        indentation = _blanks(lines[0])
    else:
        further = list(filter(str.strip, lines[1:])) or [""]
        indentation = max(around, min(_blanks(further[0]), _blanks(further[-1]), key=len), key=len)
    rest = [
        line.removeprefix(indentation) if line.startswith(indentation) else line.lstrip(" \t") for line in lines[1:]
    ]
    return "\n".join([lines[0].lstrip(" \t"), *rest])


def _blanks(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
