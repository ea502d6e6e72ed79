"""What one file gives: its text, its documented functions, and what was left out, by reason.

Contract: `extract(text, language)` is the pure function from a file's text to its rows, for whatever engine runs it;
`outcomes(files, ...)` runs it in worker processes, in the order of the files.

Invariant: a file that crashes or hangs its worker costs itself only, and is counted.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from open_codesage.tokenization.filters import rejection_reason
from open_codesage.tokenization.functions import survey
from open_codesage.tokenization.source import Unparsable, parse

from ..common.workers import Loss, in_batches, map_in_workers
from .rules import Reason
from .sources import SkippedFile, SourceFile, read

_BATCH = 16
"""Files per message to a worker."""


_BATCH_SECONDS = 120.0
"""Far above what the limits of the parser allow for a batch: only a hanging process takes so long."""


ROW = ("name", "summary", "documentation", "code", "hard_positive", "start_line", "end_line")
"""The columns of a row of `extract`, all attributes of a `Function`."""


@dataclass
class Extracted:
    """What one file gave.

    Attributes:
        rows: one row a function that passed the filters; the columns are those of `ROW`.
        functions: number of functions, documented or not.
        documented: number of documented functions.
        rejected: how many of them the filters rejected, by reason.
        unparsable: why the file has no syntax tree, None if it has one.
        unread: regions that the parser could not read: functions may be missing there.
        unread_bytes: their size.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    functions: int = 0
    documented: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unparsable: str | None = None
    unread: int = 0
    unread_bytes: int = 0


def examine(text: str, language: str) -> Extracted:
    """Extract the functions of a file that passed the filters, and count the others."""
    result = Extracted()
    try:
        source = parse(text, language)
    except Unparsable as error:
        result.unparsable = error.reason
        return result
    functions, result.functions = survey(source)
    unread = source.unread()
    result.unread, result.unread_bytes = len(unread), sum(end - start for start, end in unread)
    result.documented = len(functions)
    for function in functions:
        if reason := rejection_reason(function, language):
            result.rejected[reason] += 1
        else:
            result.rows.append({name: getattr(function, name) for name in ROW})
    return result


def extract(text: str, language: str) -> list[dict[str, Any]]:
    """The rows of one file: its documented functions that pass the filters; none if it cannot be parsed."""
    return examine(text, language).rows


@dataclass
class Outcome:
    """A file as it comes back from a worker.

    Attributes:
        file: where it is from, without its text.
        skipped: why it is left out, None if it is not; what follows is then empty.
        text: its text.
        size: bytes of its text in UTF-8.
        extracted: its functions.
        digests: digest of the text, then of the code of every row; equal digests are duplicates.
    """

    file: SourceFile
    skipped: Reason | None = None
    text: str = ""
    size: int = 0
    extracted: Extracted = field(default_factory=Extracted)
    digests: list[int] = field(default_factory=list)


def _process(file: SourceFile, max_bytes: int) -> Outcome:
    origin = replace(file, content="")  # the text goes back once
    try:
        text = read(file, max_bytes)
    except SkippedFile as error:
        return Outcome(origin, skipped=error.reason)
    extracted = examine(text, file.language)
    digests = [digest(text), *(digest(row["code"]) for row in extracted.rows)]
    return Outcome(origin, None, text, len(text.encode()), extracted, digests)


def outcomes(files: Iterable[SourceFile], max_bytes: int, workers: int) -> Iterator[Outcome]:
    """What becomes of files, in their order; they are read and parsed in worker processes.

    Args:
        files: the files.
        max_bytes: larger files are left out.
        workers: number of processes.
    """
    function = partial(_process, max_bytes=max_bytes)
    return map_in_workers(function, in_batches(files, _BATCH), workers, _BATCH_SECONDS, _lost)


def _lost(file: SourceFile, reason: Loss) -> Outcome:
    return Outcome(replace(file, content=""), skipped=reason)


def digest(text: str) -> int:
    """Eight bytes that are equal for texts that differ in white space only (chance of an accident below n²/2⁶⁵)."""
    return int.from_bytes(hashlib.blake2b("".join(text.split()).encode(), digest_size=8).digest())
