"""Hostile and damaged archives: each costs its package, and bounded time and memory."""

import bz2
import gzip
import io
import itertools
import lzma
import os
import tarfile
import time
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from open_codesage.train.common.workers import WorkerLost, iterate_in_worker
from open_codesage.train.corpus.packages import archives
from open_codesage.train.corpus.packages.archives import DamagedArchive, Limits, read_package
from open_codesage.train.corpus.packages.download import Downloaded
from open_codesage.train.corpus.packages.recipe import Package

CODE = "def count(items):\n    return sum(1 for item in items if item.is_ready and item.is_wanted)\n"
SMALL = Limits(members=100, bytes=4 << 20, header=1 << 16)


def of(archive: Path) -> Downloaded:
    return Downloaded(Package("pip", "spam", ("python",), "MIT", version="1"), (archive,))


def read(archive: Path, limits: Limits = SMALL) -> list[str]:
    """Read in this process, as the process for it does."""
    found = archives._read(archives._Reading(of(archive), 250_000, limits))
    return [file.path for file in found if not isinstance(file, tuple)]


def tar_of(*entries: tuple[str, bytes, int], size: int | None = None) -> bytes:
    """A tar file of headers of any type, with their data."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, length in entries:
            header = tarfile.TarInfo(name)
            header.type, header.size = kind, length
            made.write(header.tobuf(tarfile.USTAR_FORMAT))
            made.write(bytes(-(-length // 512) * 512))
            archive.offset = made.tell()
    return made.getvalue()


def sound(count: int = 1) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for number in range(count):
            header = tarfile.TarInfo(f"spam-1/{number}.py")
            header.size = len(CODE)
            archive.addfile(header, io.BytesIO(CODE.encode()))
    return made.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def wheel(damage=lambda data: data, **options) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"spam/{number}.py", CODE * 3)
    return damage(made.getvalue())


def encrypted(data: bytes) -> bytes:
    """Set the bit that says so in every header."""
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data = data[: at + place] + b"\x01" + data[at + place + 1 :]
            at = data.find(mark, at + 1)
    return data


DAMAGED = {
    # Damaged streams of every codec, in the middle and at the sums at the end, and cut ones.
    "deflate.whl": wheel(lambda data: flipped(data, 60)),
    "sum.whl": wheel(lambda data: flipped(data, data.find(b"PK\x01\x02") + 16)),
    "encrypted.whl": wheel(encrypted),
    "no end.zip": wheel(lambda data: data[:-30]),
    "not.zip": b"PK\x03\x04 and then something else",
    "deflate.tar.gz": flipped(gzip.compress(sound(), mtime=0), 60),
    "sum.tar.gz": flipped(gzip.compress(sound(), mtime=0), -8),
    "cut.tar.gz": gzip.compress(sound(50), mtime=0)[:200],
    "xz.tar.xz": flipped(lzma.compress(sound(), check=lzma.CHECK_CRC64), 60),
    "sum.tar.xz": flipped(lzma.compress(sound()), -20),
    "cut.tar.xz": lzma.compress(sound())[:-12],
    "bzip.tar.bz2": flipped(bz2.compress(sound()), 60),
    "cut.tar.bz2": bz2.compress(sound())[:-6],
    "alone.tar.lzma": flipped(lzma.compress(sound(), lzma.FORMAT_ALONE), 40),
    "empty.tar.gz": b"",
    "text.tgz": b"404: not found",
    "second header.tar": flipped(sound(3), 1024 + 20),
    "cut header.tar": sound(3)[: 1024 + 100],
    "cut file.tar": sound(3)[: 512 + 20],
    "not.deb": b"!<arch>\nnothing",
    # Headers that claim, or are, more than an archive has.
    "attributes.tar": tar_of(("x", tarfile.XHDTYPE, 1 << 20), ("a.py", tarfile.REGTYPE, 0)),
    "global.tar": tar_of(("x", tarfile.XGLTYPE, 1 << 20)),
    "long name.tar": tar_of(("x", tarfile.GNUTYPE_LONGNAME, 1 << 20)),
    "long link.tar": tar_of(("x", tarfile.GNUTYPE_LONGLINK, 1 << 20)),
    "solaris.tar": tar_of(("x", tarfile.SOLARIS_XHDTYPE, 1 << 20)),
    "folders.tar": tar_of(*((f"d{i}", tarfile.DIRTYPE, 0) for i in range(101))),
    "links.tar": tar_of(*((f"l{i}", tarfile.SYMTYPE, 0) for i in range(101))),
    "attributes of each.tar": tar_of(*(("x", tarfile.XHDTYPE, 512) for i in range(101))),
    "unknown type.tar.gz": gzip.compress(tar_of(("x", b"Q", 5 << 20))),
    "folder with data.tar.gz": gzip.compress(tar_of(("x", tarfile.DIRTYPE, 5 << 20))),
    "behind the end.tar.gz": gzip.compress(sound() + bytes(5 << 20)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_package_that_cannot_be_read_to_its_end_is_damaged(name, tmp_path):
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(DamagedArchive) as error:
        read(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.whl", wheel()),
        ("a.tar", sound(3)),
        ("a.tar.gz", gzip.compress(sound(3))),
        ("a.tgz", gzip.compress(sound(1)[:2048]) + gzip.compress(sound(3)[2048 - 512 :])),
        ("a.tar.xz", lzma.compress(sound(3))),
        ("a.tar.bz2", bz2.compress(sound(3))),
        ("no end.tar", sound(3)[: 3 * 1024]),
    ],
)
def test_sound_archives_are_read(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert read(tmp_path / name)


def test_codecs_raise_what_no_list_of_errors_had():
    """Else the tests above would be easy."""
    with pytest.raises(zlib.error):
        zipfile.ZipFile(io.BytesIO(DAMAGED["deflate.whl"])).read("spam/0.py")
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(DAMAGED["xz.tar.xz"])
    assert not issubclass(zlib.error, OSError | ValueError | RuntimeError)


def test_an_archive_is_read_in_a_process_of_limited_memory(tmp_path):
    """A gigabyte of one header, were it let through, is refused by the system, and the parent holds none of it."""
    path = tmp_path / "attributes.tar.xz"
    with lzma.open(path, "wb", preset=0) as stream:
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, 600 << 20
        stream.write(header.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(600):
            stream.write(bytes(1 << 20))
    limits = Limits(header=1 << 40, memory=300 << 20)
    with pytest.raises(DamagedArchive, match=r"attributes\.tar\.xz: MemoryError"):
        list(read_package(of(path), 250_000, Counter(), limits))


def test_what_is_read_before_the_damage_is_given_and_the_parent_lives(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(sound(40), mtime=0)[:-8])
    given = []
    with pytest.raises(DamagedArchive):
        given.extend(read_package(of(tmp_path / "a.tar.gz"), 250_000, Counter()))


@pytest.mark.parametrize(
    ("function", "argument", "silence", "message"),
    [
        (os._exit, 3, 90, "process ended"),
        (max, itertools.count(), 90, "processor time"),
        (time.sleep, 600, 4.0, "nothing came"),
    ],
)
def test_a_generator_that_does_not_end_is_ended(function, argument, silence, message):
    with pytest.raises(WorkerLost, match=message):
        list(iterate_in_worker(function, argument, memory=1 << 30, cpu_seconds=4, silence=silence))
