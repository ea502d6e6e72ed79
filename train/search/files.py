"""The source files of a tree: which there are, and why others are left out.

Contract: `survey(root)` gives every source file of a language of the table with a digest of its content, in a fixed
order, and the paths that were skipped, by reason. The rules are those of `.gitignore`, of the corpus for folders of
other people's code and for generated files, and the size limit of the parser. The folder that is asked for is looked
into whatever it is called.

Invariant: nothing outside the root is read (symbolic links are counted, never followed), and nothing that is no regular
file. Paths are relative to the root, with slashes.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from open_codesage.tokenization.languages import language_of_path
from open_codesage.tokenization.source import DEFAULT_LIMITS

from ..corpus.rules import SKIPPED_FOLDERS, reject_name
from ..corpus.sources import TELLING_BYTES
from .ignore import IgnoreRules

_MOST_CHARACTERS_OF_PATH = 1000
_DIGEST_BYTES = 16
# A link in the place of the file, or a pipe nobody writes to, put there since the folder was listed.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class TreeFile:
    """A source file.

    Attributes:
        path: path below the root.
        language: name of its language in the table.
        digest: of its content.
    """

    path: str
    language: str
    digest: bytes


@dataclass
class Survey:
    """What is in a tree.

    Attributes:
        files: its source files, sorted by path.
        skipped: paths of what was left out, by reason; of a folder that was not looked into, its own with a slash.
    """

    files: list[TreeFile] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, path: str, reason: str) -> None:
        """Count a path that is left out."""
        self.skipped.setdefault(reason, []).append(os.fsencode(path).decode(errors="replace"))


def survey(root: Path) -> Survey:
    """Look through a tree.

    Raises:
        ValueError: the root is missing, is no folder, or can not be read.
    """
    require_folder(root)
    if not os.access(root, os.R_OK | os.X_OK):
        raise ValueError(f"{root} can not be read: check its permissions")
    root = root.resolve()
    found = Survey()
    open_folders = [("", root, IgnoreRules(root, found.skip))]
    while open_folders:
        inside, folder, rules = open_folders.pop()
        for path, entry in _entries(inside, folder, found):
            if reason := _reject(path, entry, rules):
                found.skip(path + "/" * entry.is_dir(follow_symlinks=False), reason)
            elif entry.is_dir(follow_symlinks=False):
                open_folders.append((f"{path}/", Path(entry.path), rules.enter(path, Path(entry.path))))
            else:
                _take(path, Path(entry.path), found)
    found.files.sort(key=lambda file: file.path)
    return found


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
        OSError: it can not be read, or is a link or no regular file.
    """
    with os.fdopen(os.open(file, _FLAGS), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(f"{file} is no regular file")
        return stream.read(DEFAULT_LIMITS.bytes + 1)


def content_digest(content: bytes) -> bytes:
    """A digest that is equal for equal contents only."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _entries(inside: str, folder: Path, found: Survey) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if entry.name != ".git"]
    except OSError:
        found.skip(inside, "unreadable")
        return
    for entry in entries:
        yield f"{inside}{entry.name}", entry


def _reject(path: str, entry: os.DirEntry[str], rules: IgnoreRules) -> str | None:
    """Why an entry of a folder is left out, None if it is not, or not yet."""
    is_folder = entry.is_dir(follow_symlinks=False)
    if len(path) > _MOST_CHARACTERS_OF_PATH:
        return "path_too_long"
    if rules.ignore(path, is_folder):
        return "ignored"
    if entry.is_symlink():
        return "symbolic_link"
    if is_folder:
        if entry.name.startswith("."):
            return "hidden"
        is_foreign = entry.name.lower() in SKIPPED_FOLDERS or Path(entry.path, "pyvenv.cfg").exists()
        return "vendored" if is_foreign else None
    if language_of_path(path) is None:
        return "unknown_language"
    if not entry.is_file(follow_symlinks=False):
        return "not_a_regular_file"
    try:
        path.encode()
        size = entry.stat(follow_symlinks=False).st_size
    except UnicodeEncodeError:
        return "name_not_utf8"
    except OSError:
        return "unreadable"
    reason = reject_name(entry.name, size, DEFAULT_LIMITS.bytes)
    return None if reason == "too_small" else reason  # a function may be small; the corpus does without


def _take(path: str, file: Path, found: Survey) -> None:
    try:
        content = read_bytes(file)
    except OSError:
        found.skip(path, "unreadable")
        return
    language = language_of_path(path, lambda: content[:TELLING_BYTES].decode(errors="replace"))
    if language:
        found.files.append(TreeFile(path, language, content_digest(content)))
