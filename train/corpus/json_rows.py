"""Rows of JSON-lines files that others have written.

Contract: `read_rows` gives each line's object, or None for a line that holds none: one that is no JSON, is nested
deeper than any row, or is longer than any source file. Blank lines are no rows.

Invariant: a line costs itself: memory holds one, and a line that cannot be taken leaves those after it readable.
"""

import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

LONGEST = 64 << 20
"""Bytes of a line. No source file that is taken comes near it."""


def is_json_lines(file: Path) -> bool:
    """Whether a file of JSON holds an object a line, and is no array; told by its first character.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with _opened(file) as stream:
            return stream.read(4096).lstrip()[:1] not in (b"", b"[")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def read_rows(files: Sequence[Path]) -> Iterator[dict[str, Any] | None]:
    """Give the rows of files in order.

    Raises:
        ValueError: a file cannot be read or decompressed.
    """
    for file in files:
        try:
            with _opened(file) as stream:
                for line in _lines(stream):
                    yield None if line is None else _object(line)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"{file} cannot be read: {error}") from error


def _opened(file: Path) -> Any:
    import fsspec  # of the datasets library

    return fsspec.open(str(file), "rb", compression="infer")


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Lines that hold something; None for one that is too long."""
    while line := stream.readline(LONGEST + 1):
        if len(line) > LONGEST:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST)
            yield None
        elif line.strip():
            yield line


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # also not UTF-8
        return None
    return row if isinstance(row, dict) else None
