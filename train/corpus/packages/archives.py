"""Source files out of the archives of a package, read where they lie: nothing is written, linked or executed.

Contract: `read_package` gives the files of a package's languages out of wheels and other zip files, tar files of every
compression, and binary packages of Debian; of its source packages, the tar files of the original are read. Where a
recipe asks for it, files also come out of source maps (version 3, `sourcesContent`).

Invariants: only regular files are read, names are labels and never places, what an archive may unpack to has limits.
"""

import json
import posixpath
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from open_codesage.tokenization.languages import language_of_path

from ..rules import Reason, is_vendored, reject_name
from ..sources import TELLING_BYTES, Counts, SourceFile
from .download import Downloaded
from .recipe import Package

MOST_MEMBERS = 500_000
MOST_BYTES = 16 << 30
"""Limits of what an archive unpacks to; the sources of the largest packages of Debian are a quarter of it."""
_LARGEST_MAP = 64 << 20

_NOT_THE_ORIGINAL = re.compile(r"\.(?:dsc|asc|sig|diff\.gz)$|\.debian\.tar\.\w+$")
_COMPONENT = re.compile(r"\.orig-([\w-]+)\.tar\.\w+$")
_MAP_PREFIX = re.compile(r"^(?:\w+:/+)?(?:\.{1,2}/)*/*")


class DamagedArchive(ValueError):
    """An archive that can not be read, or that unpacks to more than is taken; the message tells."""


class _Member(NamedTuple):
    path: str
    size: int
    content: IO[bytes]


def read_package(downloaded: Downloaded, max_bytes: int, skipped: Counts) -> Iterator[SourceFile]:
    """Give the source files of a package, in the order of its archives.

    Args:
        downloaded: the package in the cache.
        max_bytes: larger files are left out unread.
        skipped: files left out here are counted in it, by language and reason.

    Raises:
        DamagedArchive: an archive can not be read.
    """
    package = downloaded.package
    include, exclude = re.compile(package.include or ""), re.compile(package.exclude or r"(?!)")
    for archive in downloaded.archives:
        if _NOT_THE_ORIGINAL.search(archive.name):
            continue
        try:
            for member in _members(archive):
                for path, content, size in _sources(member, package):
                    language = language_of_path(path)
                    if language is None or not include.search(path) or exclude.search(path):
                        continue
                    name = path.rpartition("/")[2]
                    reason: Reason | None = "vendored" if is_vendored(path) else reject_name(name, size, max_bytes)
                    if reason is None:
                        data = content if isinstance(content, bytes) else content.read(max_bytes + 1)
                        language = language_of_path(path, partial(_beginning, data)) or language
                    if language not in package.languages:
                        skipped[language, "not_selected"] += 1
                    elif reason is not None:
                        skipped[language, reason] += 1
                    else:
                        yield SourceFile(data, language, f"{package.unit}/{path}", package.licence, package.unit)
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
            raise DamagedArchive(f"{archive.name}: {type(error).__name__}: {error}") from error


def _beginning(data: bytes) -> str:
    return data[:TELLING_BYTES].decode(errors="replace")


def _sources(member: _Member, package: Package) -> Iterator[tuple[str, bytes | IO[bytes], int]]:
    """A member's path, content and size; of a source map, those of the files in it."""
    if not (package.source_maps and member.path.endswith(".map")):
        yield member.path, member.content, member.size
        return
    if member.size > _LARGEST_MAP:
        return
    try:
        entries: Any = json.loads(member.content.read(_LARGEST_MAP))
        pairs = list(zip(entries["sources"], entries["sourcesContent"], strict=False))
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # no source map, or one without the sources
    for name, text in pairs:
        if isinstance(name, str) and isinstance(text, str):
            data = text.encode(errors="surrogatepass")
            yield posixpath.normpath(_MAP_PREFIX.sub("", name)), data, len(data)


def _members(archive: Path) -> Iterator[_Member]:
    """The regular files of an archive."""
    name = archive.name.lower()
    if name.endswith((".whl", ".zip")):
        yield from _limited(_zipped(archive))
    elif name.endswith(".deb"):
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                yield from _limited(_tarred(cast("IO[bytes]", process.stdout), strip=False))
            finally:
                process.kill()
    elif re.search(r"\.(?:tgz|tar(?:\.\w+)?)$", name):
        component = _COMPONENT.search(archive.name)
        with archive.open("rb") as stream:
            for member in _limited(_tarred(stream, strip=True)):
                yield member._replace(path=f"{component[1]}/{member.path}") if component else member


def _zipped(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            kind = entry.external_attr >> 28
            if entry.is_dir() or kind not in (0, 0o10):  # 0o12 would be a link
                continue
            with opened.open(entry) as content:
                yield _Member(_plain(entry.filename), entry.file_size, content)


def _tarred(stream: IO[bytes], strip: bool) -> Iterator[_Member]:
    """The files of a tar stream of any compression; `strip` takes off the folder that source archives stand in."""
    with tarfile.open(fileobj=stream, mode="r|*") as opened:
        for entry in opened:
            content = opened.extractfile(entry) if entry.isfile() else None
            if content is None:
                continue
            path = _plain(entry.name)
            yield _Member(path.partition("/")[2] or path if strip else path, entry.size, content)


def _plain(name: str) -> str:
    """A member's name without `.`, `..` and a leading slash: it is a label."""
    cleaned = posixpath.normpath("/" + name.replace("\\", "/").encode(errors="replace").decode())
    return cleaned.lstrip("/")


def _limited(members: Iterator[_Member]) -> Iterator[_Member]:
    total = 0
    for number, member in enumerate(members, start=1):
        total += member.size
        if number > MOST_MEMBERS or total > MOST_BYTES:
            raise ValueError(f"unpacks to more than {MOST_MEMBERS:,} files or {MOST_BYTES >> 30} GiB")
        yield member
