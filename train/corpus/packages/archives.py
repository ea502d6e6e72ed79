"""Source files out of the archives of a package, read where they lie: nothing is written, linked or executed.

Contract: `read_package` gives the files of a package's languages out of wheels and other zip files, tar files of every
compression, and binary packages of Debian; of its source packages, the tar files of the original are read. Where a
recipe asks for it, files also come out of source maps (version 3, `sourcesContent`). A package whose archive cannot be
read to its end, for whatever reason, is a `DamagedArchive`.

Invariants: only regular files are read, names are labels and never places. An archive is read in a process of its own,
of limited memory and processor time; every header in it counts, and all that is unpacked, read or passed over.
"""

import bz2
import gzip
import json
import lzma
import posixpath
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, cast

from open_codesage.tokenization.languages import language_of_path

from ...common.workers import WorkerLost, iterate_in_worker
from ..rules import Reason, is_vendored, reject_name
from ..sources import TELLING_BYTES, Counts, SourceFile
from .download import Downloaded
from .recipe import Package


class Limits(NamedTuple):
    """What reading a package may cost; the sources of the largest packages of Debian are a quarter of it.

    Attributes:
        members: headers of an archive: files, folders, links and what describes them.
        bytes: what an archive unpacks to, with what is passed over.
        header: bytes of one header that describes the next.
        memory: bytes that the process may hold.
        cpu_seconds: its processor time.
        silence: seconds without a file.
    """

    members: int = 500_000
    bytes: int = 16 << 30
    header: int = 1 << 20
    memory: int = 2 << 30
    cpu_seconds: int = 1800
    silence: float = 600.0


LIMITS = Limits()
_LARGEST_MAP = 64 << 20
_AT_ONCE = 1 << 20

_NOT_THE_ORIGINAL = re.compile(r"\.(?:dsc|asc|sig|diff\.gz)$|\.debian\.tar\.\w+$")
_COMPONENT = re.compile(r"\.orig-([\w-]+)\.tar\.\w+$")
_MAP_PREFIX = re.compile(r"^(?:\w+:/+)?(?:\.{1,2}/)*/*")

Skipped = tuple[str, Reason]


class DamagedArchive(ValueError):
    """An archive that cannot be read, or that unpacks to more than is taken; the message tells."""


class _Member(NamedTuple):
    path: str
    size: int
    content: IO[bytes]


class _Reading(NamedTuple):
    """What the process is told."""

    downloaded: Downloaded
    max_bytes: int
    limits: Limits


def read_package(
    downloaded: Downloaded, max_bytes: int, skipped: Counts, limits: Limits = LIMITS
) -> Iterator[SourceFile]:
    """Give the source files of a package, in the order of its archives.

    Args:
        downloaded: the package in the cache.
        max_bytes: larger files are left out unread.
        skipped: files left out here are counted in it, by language and reason.
        limits: what reading it may cost.

    Raises:
        DamagedArchive: an archive cannot be read.
    """
    told = _Reading(downloaded, max_bytes, limits)
    try:
        for batch in iterate_in_worker(_read, told, limits.memory, limits.cpu_seconds, limits.silence):
            for found in batch:
                if isinstance(found, SourceFile):
                    yield found
                else:
                    skipped[found] += 1
    except WorkerLost as error:
        raise DamagedArchive(str(error)) from error


def _read(told: _Reading) -> Iterator[SourceFile | Skipped]:
    """Read the archives of a package, in the process for it: any error there is one of an archive."""
    package = told.downloaded.package
    for archive in told.downloaded.archives:
        if not _NOT_THE_ORIGINAL.search(archive.name):
            try:
                yield from _read_archive(archive, package, told.max_bytes, told.limits)
            except Exception as error:
                raise DamagedArchive(f"{archive.name}: {type(error).__name__}: {error}") from error


def _read_archive(archive: Path, package: Package, max_bytes: int, limits: Limits) -> Iterator[SourceFile | Skipped]:
    include, exclude = re.compile(package.include or ""), re.compile(package.exclude or r"(?!)")
    for member in _members(archive, limits):
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
                yield language, "not_selected"
            elif reason is not None:
                yield language, reason
            else:
                yield SourceFile(data, language, f"{package.unit}/{path}", package.license, package.unit)


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


def _members(archive: Path, limits: Limits) -> Iterator[_Member]:
    """The regular files of an archive."""
    name = archive.name.lower()
    if name.endswith((".whl", ".zip")):
        yield from _zipped(archive, limits)
    elif name.endswith(".deb"):
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                yield from _tarred(cast("IO[bytes]", process.stdout), limits, strip=False)
                if process.wait():
                    raise ValueError(f"dpkg-deb ended with status {process.returncode}")
            finally:
                process.kill()
    elif re.search(r"\.(?:tgz|tar(?:\.\w+)?)$", name):
        component = _COMPONENT.search(archive.name)
        with archive.open("rb") as stream, _decompressed(stream) as content:
            for member in _tarred(content, limits, strip=True):
                yield member._replace(path=f"{component[1]}/{member.path}") if component else member


def _decompressed(stream: IO[bytes]) -> Any:
    """The content of a compressed file, told by its first bytes, down to its end and checked against its sums."""
    begin = stream.read(6)
    stream.seek(0)
    if begin.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if begin.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if begin.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.LZMAFile(stream)
    return stream


def _zipped(archive: Path, limits: Limits) -> Iterator[_Member]:
    count = _Count(limits)
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            count.add(entry.file_size)
            kind = entry.external_attr >> 28
            if entry.is_dir() or kind not in (0, 0o10):  # 0o12 would be a link
                continue
            with opened.open(entry) as content:
                yield _Member(_plain(entry.filename), entry.file_size, content)


def _tarred(stream: IO[bytes], limits: Limits, strip: bool) -> Iterator[_Member]:
    """The files of a tar stream; `strip` takes off the folder that source archives stand in."""
    counted = _Counted(stream, limits)
    header: type[tarfile.TarInfo] = type("Header", (_Header,), {"count": _Count(limits)})
    with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|", tarinfo=header) as opened:
        while (entry := opened.next()) is not None:
            opened.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            content = opened.extractfile(entry) if entry.isfile() else None
            if content is None:
                continue
            path = _plain(entry.name)
            yield _Member(path.partition("/")[2] or path if strip else path, entry.size, content)
    while counted.read(_AT_ONCE):  # The sums of a compressed file stand at its end.
        pass


class _Count:
    """Counts the headers of an archive and the bytes that they speak of."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.members, self.bytes = limits, 0, 0

    def add(self, size: int) -> None:
        """Count one.

        Raises:
            ValueError: there are more than the limits let through.
        """
        self.members, self.bytes = self.members + 1, self.bytes + size
        if size < 0:
            raise ValueError(f"a member has {size} bytes")
        if self.members > self.limits.members or self.bytes > self.limits.bytes:
            most = f"{self.limits.members:,} files or {self.limits.bytes / 2**30:,.1f} GiB"
            raise ValueError(f"unpacks to more than {most}")


class _Header(tarfile.TarInfo):
    """A header of a tar file that is counted whatever it describes, and that has to be sound.

    `tarfile` reads those that describe the next (long names, attributes) whole, and takes a damaged one for the end.
    """

    count: _Count
    _DESCRIBES = (
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    )

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header out of its block."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise ValueError(f"a damaged header ({error})") from error
        cls.count.add(header.size)
        if header.type in cls._DESCRIBES and header.size > cls.count.limits.header:
            raise ValueError(f"a header of {header.size:,} bytes, more than {cls.count.limits.header:,}")
        return header


class _Counted:
    """A stream that gives no more than the limit."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self.stream, self.left = stream, limits.bytes

    def read(self, size: int) -> bytes:
        """Read at most so many bytes."""
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("unpacks to more than is taken")
        return data


def _plain(name: str) -> str:
    """A member's name without `.`, `..` and a leading slash: it is a label."""
    cleaned = posixpath.normpath("/" + name.replace("\\", "/").encode(errors="replace").decode())
    return cleaned.lstrip("/")
