"""A full disk, as a sentence: which disk, how much is free, and how much is missing where that is known.

Contract: `require_space` refuses, before a byte is written, what does not fit; `full_disk` finds out whether a full
disk is behind an error, whichever library raised it, and says so in a line.

Invariant: an error that has another reason is none of ours: `full_disk` gives None for it.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

RESERVE = 1 << 20
"""Bytes that are left over for what stands beside the files that are counted."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
# SQLite, Rust (safetensors, tokenizers) and Arrow say it in words.
_SAID = re.compile(r"No space left on device|[Dd]isk quota exceeded|database or disk is full|os error (?:28|122)\b")
# torch says only that not all was written.
_SHORT = re.compile(r"PytorchStreamWriter failed writing|inline_container\.cc.*unexpected pos")
_LITTLE = 64 << 20


class DiskFull(OSError):
    """There is no room for what has to be written."""


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to write what the disk has no room for.

    Args:
        folder: where it is to be written; it need not exist.
        needed: bytes.
        what: what it is, as the beginning of a sentence: "A checkpoint".

    Raises:
        DiskFull: there is less room.
    """
    place = _existing(folder)
    if (free := shutil.disk_usage(place).free) < needed + RESERVE:
        missing = needed + RESERVE - free
        raise DiskFull(
            f"{what} takes {_size(needed)}, and {_described(place)}: {_size(missing)} are missing. Make room and run "
            "the same command again"
        )


def full_disk(error: BaseException, places: Iterable[Path]) -> str | None:
    """Say that an error comes of a full disk.

    Args:
        error: any error; those that it was raised from count as well.
        places: where the command writes, for errors that do not name their file.

    Returns:
        One line, or None if nothing speaks for a full disk.
    """
    chain = list(_chain(error))
    if any(isinstance(link, DiskFull) for link in chain):
        return str(next(link for link in chain if isinstance(link, DiskFull)))
    said = [link for link in chain if _is_full(link)]
    short = [link for link in chain if _SHORT.search(str(link))]
    named = [
        Path(link.filename) for link in said if isinstance(link, OSError) and isinstance(link.filename, str | Path)
    ]
    # Of the disks that are written to, the fullest.
    place = min(map(_existing, named or [*places, Path.cwd()]), key=lambda folder: shutil.disk_usage(folder).free)
    if not said and not (short and shutil.disk_usage(place).free < _LITTLE):
        return None
    return f"{_described(place)}, and more is needed. Make room and run the same command again: what is finished stays"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those it came from, also those that came while another was dealt with."""
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]


def _is_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in _FULL) or bool(_SAID.search(str(error)))


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _described(place: Path) -> str:
    usage = shutil.disk_usage(place)
    mount = next(folder for folder in (place.resolve(), *place.resolve().parents) if os.path.ismount(folder))
    return f"the disk of {place} (mounted at {mount}) has {_size(usage.free)} free of {_size(usage.total)}"


def _size(size: int) -> str:
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
