"""Output folders, and JSON files, that are whole or not there, and written by one process at a time.

Contract: inside `with new_folder(output) as folder:` everything is written to `folder`, a hidden one beside `output`,
which gets its name when the block ends without an error. An error removes it; what a killed run left is removed by the
next. Inside `with owned(output):` no other process gets past either of them: it is refused, or waits if it asked to.

Invariants: a folder called `output` is never half-written, and one that holds something is never touched. The operating
system frees the lock of a process that is killed.
"""

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .untrusted import read_object

LOG = "training.json"
"""The record of a training, in its model folder."""

RESULTS = "results.json"
"""The record of an evaluation."""


@contextlib.contextmanager
def owned(output: Path, wait: bool = False) -> Iterator[None]:
    """Keep every other process from writing `output`; the process that holds it may hold it again.

    Args:
        output: a file or folder.
        wait: wait for a process that holds it, for outputs that several processes want alike.

    Raises:
        ValueError: another process holds it, named in the message; or the folder around it cannot be made.
    """
    output = output.absolute()
    path = output.with_name(f".{output.name}.lock")
    lock = FileLock(path, is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise ValueError(
            f"{output} is being written by {_owner(path)}: wait for it, or choose another output"
        ) from None
    except OSError as error:
        raise ValueError(f"the output folder {output} cannot be made: {error.strerror}") from error
    try:
        if lock.lock_counter == 1:
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
            since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            path.write_text(f"process {os.getpid()} on {platform.node()} ({command}), since {since}", "utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            path.unlink(missing_ok=True)  # While it is held: whoever opened it meanwhile finds that it has no name.
        lock.release()


def _owner(lock: Path) -> str:
    """Tell who holds a lock, as far as the holder has got to say it."""
    try:
        return lock.read_text("utf-8") or "another process"
    except OSError:
        return "another process"


@contextlib.contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a folder to write to that becomes `output`.

    Raises:
        ValueError: `output` is a file, or a folder that is not empty, or cannot be made, or another process is writing
            it.
    """
    output = output.absolute()
    with owned(output):
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise ValueError(f"{output} is already there: remove it, or choose another output folder")
        aside = output.with_name(f".{output.name}.partial")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
        except OSError as error:
            raise ValueError(f"the output folder {output} cannot be made: {error.strerror}") from error
        try:
            yield aside
            aside.replace(output)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object aside, then rename it."""
    aside = file.with_suffix(".partial")
    aside.unlink(missing_ok=True)  # It could be a link, which must not be followed.
    with aside.open("x", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


def run_folder(output: Path) -> Path:
    """Return the folder beside `output` that holds the checkpoints and other working files of its run."""
    return output.parent / f"{output.name}.run"


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object that this module wrote.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        return read_object(file)
    except ValueError as error:
        raise ValueError(f"{error}: delete {file.parent}") from error
