"""Output folders that are whole or not there.

Contract: inside `with new_folder(output) as folder:` everything is written to `folder`, a hidden one beside `output`,
which gets its name when the block ends without an error. An error removes it; what a killed run left is removed by the
next.

Invariant: a folder called `output` is never half-written, and one that holds something is never touched.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


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
