"""The files of a tree that are searched: which there are, and why others are left out.

Contract: `survey(root)` gives every file of a language that is searched with a digest of its content, in a fixed order,
and the paths that were skipped, by reason. Left out is what git would ignore, what is hidden or installed, other work
trees and clones of a repository that is searched, and what is larger than the parser takes. The folder that is asked
for is looked into whatever it is called.

Invariant: nothing outside the root is read (symbolic links are counted, never followed), and nothing that is no regular
file. Paths are relative to the root, with slashes. A file whose size and time of modification are those of a file that
is known, and whose time is well past, is not read again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from open_codesage.tokenization.source import DEFAULT_LIMITS

from .ignore import IgnoreRules
from .languages import PROSE, TELLING_BYTES, language_of, may_have_language
from .repository import Copies

INSTALLED = frozenset({"__pycache__", "bower_components", "dist-packages", "node_modules", "site-packages"})
"""Folders into which package managers put what nobody here wrote; virtual environments are left out too."""

_MOST_CHARACTERS_OF_PATH = 1000
_DIGEST_BYTES = 16
_SETTLED_NS = 2_000_000_000
"""A file that was modified later than this before it was read may be modified again within the clock's resolution."""
# A link in the place of the file, or a pipe nobody writes to, put there since the folder was listed.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Stamp(NamedTuple):
    """Size in bytes and time of modification in nanoseconds; both 0 if the time is too new to be relied on."""

    size: int = 0
    modified: int = 0


UNSETTLED = Stamp()


@dataclass(frozen=True)
class TreeFile:
    """A file that is searched.

    Attributes:
        path: path below the root.
        language: name of its language.
        digest: of its content.
        stamp: by which a later survey sees that it has not changed.
    """

    path: str
    language: str
    digest: bytes
    stamp: Stamp = UNSETTLED


@dataclass
class Survey:
    """What is in a tree.

    Attributes:
        files: its files, sorted by path.
        skipped: paths of what was left out, by reason; of a folder that was not looked into, its own with a slash.
    """

    files: list[TreeFile] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, path: str, reason: str) -> None:
        """Count a path that is left out."""
        self.skipped.setdefault(reason, []).append(os.fsencode(path).decode(errors="replace"))


def survey(root: Path, docs: bool = False, known: Mapping[str, TreeFile] | None = None) -> Survey:
    """Look through a tree.

    Args:
        root: its folder.
        docs: whether documents are searched as well.
        known: files of an earlier survey, by path.

    Raises:
        ValueError: the root is missing, is no folder, or cannot be read.
    """
    require_folder(root)
    if not os.access(root, os.R_OK | os.X_OK):
        raise ValueError(f"{root} cannot be read: check its permissions")
    return _Surveyor(root.resolve(), docs, known or {}).look()


def require_folder(root: Path) -> None:
    """Ask for a folder.

    Raises:
        ValueError: it is missing, or something else.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is {'not a folder' if root.exists() else 'missing'}: name a folder of source code")


def read_bytes(file: Path) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, or is a link or no regular file.
    """
    with os.fdopen(os.open(file, _FLAGS), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(f"{file} is no regular file")
        return stream.read(DEFAULT_LIMITS.bytes + 1)


def content_digest(content: bytes) -> bytes:
    """A digest that is equal for equal contents only."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


class _Surveyor:
    """One look through a tree."""

    def __init__(self, root: Path, docs: bool, known: Mapping[str, TreeFile]) -> None:
        self._root, self._docs, self._known = root, docs, known
        self._found = Survey()
        self._begin = time.time_ns()
        self._copies = Copies(root)

    def look(self) -> Survey:
        found = self._found
        open_folders = [("", self._root, IgnoreRules(self._root, found.skip))]
        while open_folders:
            inside, folder, rules = open_folders.pop()
            for path, entry in self._entries(inside, folder):
                is_folder = entry.is_dir(follow_symlinks=False)
                if reason := self._reject(path, entry, is_folder, rules):
                    found.skip(path + "/" * is_folder, reason)
                elif is_folder:
                    open_folders.append((f"{path}/", Path(entry.path), rules.enter(path, Path(entry.path))))
                else:
                    self._take(path, entry)
        found.files.sort(key=lambda file: file.path)
        return found

    def _entries(self, inside: str, folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
        try:
            with os.scandir(folder) as listing:
                entries = [entry for entry in listing if entry.name != ".git"]
        except OSError:
            self._found.skip(inside, "unreadable")
            return
        for entry in entries:
            yield f"{inside}{entry.name}", entry

    def _reject(self, path: str, entry: os.DirEntry[str], is_folder: bool, rules: IgnoreRules) -> str | None:
        """Why an entry of a folder is left out, None if it is not, or not yet."""
        if len(path) > _MOST_CHARACTERS_OF_PATH:
            return "path_too_long"
        if rules.ignore(path, is_folder):
            return "ignored"
        if entry.is_symlink():
            return "symbolic_link"
        if is_folder:
            if entry.name.startswith("."):
                return "hidden"
            if entry.name in INSTALLED or Path(entry.path, "pyvenv.cfg").exists():
                return "installed"
            return self._copies.reason(Path(entry.path))
        if not may_have_language(entry.name):
            return "no_source_code"
        if not self._docs and language_of(entry.name) == PROSE:
            return "document"
        return None if entry.is_file(follow_symlinks=False) else "not_a_regular_file"

    def _take(self, path: str, entry: os.DirEntry[str]) -> None:
        try:
            path.encode()
        except UnicodeEncodeError:
            self._found.skip(path, "name_not_utf8")
            return
        try:
            status = entry.stat(follow_symlinks=False)
            if status.st_size > DEFAULT_LIMITS.bytes:
                self._found.skip(path, "too_large")
                return
            settled = status.st_mtime_ns < self._begin - _SETTLED_NS
            stamp = Stamp(status.st_size, status.st_mtime_ns) if settled else UNSETTLED
            known = self._known.get(path)
            if known is not None and stamp == known.stamp != UNSETTLED:
                file = known
            else:
                content = read_bytes(Path(entry.path))
                language = language_of(entry.name, lambda: content[:TELLING_BYTES].decode(errors="replace"))
                file = TreeFile(path, language or "", content_digest(content), stamp)
        except OSError:
            self._found.skip(path, "unreadable")
            return
        if not file.language:
            self._found.skip(path, "no_source_code")
        else:
            self._found.files.append(file)
