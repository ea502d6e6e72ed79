"""What git says about a folder, read from its files: no program is started, and no configuration is followed.

Contract: `find(folder)` gives the repository that a folder is in, with the folder of its own `.git` and the one that
its work trees share. `Copies` knows a work tree or a clone of a repository that was met before. What a `.git` file or a
reference says is untrusted text: it only names places, and only small files there are read.
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


class Copies:
    """Tells copies of repositories that lie inside a tree.

    Args:
        root: the tree, absolute, without symbolic links; the repository that it is in counts as met.
    """

    def __init__(self, root: Path) -> None:
        self._met: list[Repository] = []
        if found := find(root):
            self._met.append(found)

    def reason(self, folder: Path) -> str | None:
        """Why a folder is a copy: another work tree, or a clone, of a repository that was met; None if it is none.

        A clone is one whose origin is that repository, or has the same origin, or whose branch is at the same commit.
        """
        found = at(folder)
        if found is None:
            return None
        for other in self._met:
            if _is_same(found.common_folder, other.common_folder):
                return "work_tree"
            if _is_clone(found, other):
                return "clone"
        self._met.append(found)
        return None


def _is_clone(one: Repository, other: Repository) -> bool:
    origins = [_origin(each) for each in (one, other)]
    if origins[0] is not None and origins[0] == origins[1]:
        return True
    for (origin, base), target in zip(((origins[0], one), (origins[1], other)), (other, one), strict=True):
        if origin is not None and "://" not in origin:
            place = base.top / origin
            if _is_same(place, target.top) or _is_same(place, target.common_folder):
                return True
    head = _head(one)
    return head is not None and head == _head(other)


def _origin(found: Repository) -> str | None:
    """The address that a repository was cloned from."""
    section = ""
    for line in read_lines(found.common_folder / "config") or ():
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == '[remote "origin"]' and text.partition("=")[0].strip() == "url":
            return text.partition("=")[2].strip().removesuffix("/").removesuffix(".git")
    return None


def _head(found: Repository) -> str | None:
    """The commit that a work tree is at, where its reference is a file of its own."""
    lines = read_lines(found.git_folder / "HEAD")
    if not lines or not lines[0].strip():
        return None
    text = lines[0].strip()
    if not text.startswith("ref:"):
        return text
    name = text.removeprefix("ref:").strip()
    if ".." in name or name.startswith("/"):
        return None
    commit = read_lines(found.common_folder / name)
    return commit[0].strip() if commit and commit[0].strip() else None


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in a name
        return False
