"""Tables of Markdown, as every report, card and summary of the package writes them."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table: a first column of names, and columns of numbers, set to the right.

    Args:
        head: titles of the columns.
        rows: cells; integers get commas, None is left blank.
    """
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(cell, line))} |" for line in (head, marks, *rows)]


def cell(value: Any) -> str:
    """A value in print, on one line and with no bar that would end its cell."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else " ".join(str(value).split()).replace("|", r"\|")
