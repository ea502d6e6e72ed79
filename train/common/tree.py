"""The entries of a folder, however deep it is.

Contract: `walk` gives the entries of a folder and of those below it; symbolic links are given and never followed.

Invariant: depth costs memory for one name a level and no stack: `os.walk` and `Path.rglob` of Python 3.11 end in a
RecursionError at a thousand levels, which take a stranger a line to make.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(
    root: Path,
    enter: Callable[[os.DirEntry[str]], bool] = lambda folder: True,
    unreadable: Callable[[OSError], None] = lambda error: None,
) -> Iterator[os.DirEntry[str]]:
    """Give everything below a folder, each folder before what is in it, sorted by name within a folder.

    Args:
        root: where to begin; it is not given itself.
        enter: says of each folder whether to look into it. It is given either way.
        unreadable: told of a folder that cannot be listed, which is left out.
    """
    waiting: list[str] = [str(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            unreadable(error)
            continue
        inside = []
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False) and enter(entry):
                inside.append(entry.path)
        waiting += reversed(inside)


def files(root: Path) -> Iterator[Path]:
    """Give the path of everything below a folder that is no folder itself: files, links, pipes."""
    return (Path(entry.path) for entry in walk(root) if not entry.is_dir(follow_symlinks=False))
