"""Output folders, and JSON files, that are whole or not there.

Contract: inside `with new_folder(output) as folder:` everything is written to `folder`, a hidden one beside `output`,
which gets its name when the block ends without an error. An error removes it; what a killed run left is removed by the
next.

Invariant: a folder called `output` is never half-written, and one that holds something is never touched.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .model_folder import read_object

LOG = "training.json"
"""The record of a training, in its model folder."""

RESULTS = "results.json"
"""The record of an evaluation."""


@contextlib.contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Give a folder to write to that becomes `output`.

    Raises:
        ValueError: `output` is a file, or a folder that is not empty, or can not be made.
    """
    output = output.absolute()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is already there: remove it, or choose another output folder")
    aside = output.with_name(f".{output.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"the output folder {output} can not be made: {error.strerror}") from error
    try:
        yield aside
        aside.replace(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object aside, then rename it."""
    aside = file.with_suffix(".partial")
    with aside.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


def working_folder(folder: Path, settings: Mapping[str, Any]) -> Path:
    """Give a folder for what is finished of an interrupted work; what was made under other settings is removed."""
    record = folder / "settings.json"
    state = json.dumps(settings, indent=1)
    if not record.is_file() or record.read_text(encoding="utf-8") != state:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record.write_text(state, encoding="utf-8")
    return folder


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
