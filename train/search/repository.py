"""What git says about a folder, read from its files: no program is started, and no configuration is followed.

Contract: `find(folder)` gives the repository that a folder is in, with the folder of its own `.git` and the one that
its work trees share. What a `.git` file or a reference says is untrusted text: it only names places, and only small
files there are read.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

_GIT = ".git"
_MOST_BYTES = 64_000


@dataclass(frozen=True)
class Repository:
    """A repository's work tree.

    Attributes:
        top: its folder.
        git_folder: the folder of this work tree's own state.
        common_folder: the folder that all work trees of the repository share.
    """

    top: Path
    git_folder: Path
    common_folder: Path

    @property
    def exclude_file(self) -> Path:
        """What is ignored beside the `.gitignore` files."""
        return self.common_folder / "info" / "exclude"


def find(folder: Path) -> Repository | None:
    """The repository of a folder: of the next folder upwards that has a `.git`.

    Args:
        folder: absolute, without symbolic links.
    """
    return next(filter(None, map(at, (folder, *folder.parents))), None)


def at(folder: Path) -> Repository | None:
    """The repository whose work tree has a folder as its top; None if it has none."""
    git = folder / _GIT
    try:
        mode = git.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return Repository(folder, git, _common(git))
    lines = read_lines(git)
    if not lines or not lines[0].startswith("gitdir:"):
        return None
    own = folder / lines[0].removeprefix("gitdir:").strip()
    return Repository(folder, own, _common(own))


def read_lines(file: Path) -> list[str] | None:
    """The lines of a small regular file, None if it is none; like git this follows no symbolic link."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            return None
        text = file.read_bytes().decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):  # a name with a NUL
        return None
    return text.replace("\r\n", "\n").split("\n")


def _common(git_folder: Path) -> Path:
    lines = read_lines(git_folder / "commondir")
    return git_folder / lines[0].strip() if lines and lines[0].strip() else git_folder
