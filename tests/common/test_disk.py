"""A full disk is one sentence, whatever library met it; an error of another kind stays what it is."""

import errno
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from open_codesage.train import cli
from open_codesage.train.common.disk import DiskFull, full_disk, require_space

Usage = namedtuple("Usage", "total used free")


def nested(*errors):
    """The last of some errors, each raised while the one before it was dealt with."""
    try:
        raise errors[-1]
    except (OSError, ValueError, sqlite3.Error) as error:
        if errors[1:]:
            error.__context__ = nested(*errors[:-1])
        return error


FULL = {
    "python": OSError(errno.ENOSPC, "No space left on device"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "named": OSError(errno.ENOSPC, "No space left on device", "/data/x/model.safetensors"),
    "sqlite": sqlite3.OperationalError("database or disk is full"),
    "sqlite hidden": nested(
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("cannot rollback - no transaction is active"),
    ),
    "rust": RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "arrow": pa.ArrowException("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    "wrapped": nested(OSError(errno.ENOSPC, "No space left on device"), ValueError("the output cannot be made")),
}


@pytest.mark.parametrize("case", FULL)
def test_a_full_disk_is_told_from_any_error(case, tmp_path):
    told = full_disk(FULL[case], [tmp_path / "not" / "there"])
    assert "free of" in told
    assert "mounted at" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "No such file or directory", "x"),
        ValueError("batch_size must be positive"),
        sqlite3.OperationalError("cannot rollback - no transaction is active"),
        RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"),  # with room on the disk
        MemoryError(),
    ],
)
def test_other_errors_are_not(error, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**12, 0, 10**12))
    assert full_disk(error, [tmp_path]) is None


def test_an_error_of_torch_counts_where_no_room_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 10**9, 0))
    error = RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0")
    assert "0 kB free of 1.0 GB" in full_disk(error, [tmp_path])


def test_what_does_not_fit_is_refused_with_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 0, 5 * 10**6))
    require_space(tmp_path, 3 * 10**6, "A checkpoint")
    with pytest.raises(
        DiskFull, match=r"A checkpoint takes 9\.0 MB, .* has 5\.0 MB free of 1\.0 GB: 5\.0 MB are missing"
    ):
        require_space(tmp_path / "not" / "there", 9 * 10**6, "A checkpoint")


@pytest.mark.parametrize("case", FULL)
def test_a_command_ends_with_the_sentence(case, tmp_path, monkeypatch, capsys):
    def fail(config):
        raise FULL[case]

    monkeypatch.setattr(cli.Command, "load_main", lambda self: fail)
    assert cli.main(["extract", "--output", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Make room and run the same command again" in told


def test_a_fault_of_ours_keeps_its_traceback(tmp_path, monkeypatch):
    def fail(config):
        raise KeyError("x")

    monkeypatch.setattr(cli.Command, "load_main", lambda self: fail)
    with pytest.raises(KeyError):
        cli.main(["extract", "--output", str(tmp_path / "out")])


DEVICE = Path("/dev/full")


@pytest.mark.skipif(not DEVICE.exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    "write",
    [
        lambda: DEVICE.write_text("x"),
        lambda: DEVICE.write_bytes(b"x" * 10**6),
        lambda: pq.write_table(pa.table({"a": ["x" * 10**6]}), pa.OSFile(str(DEVICE), "wb")),
        lambda: shutil.copyfile(__file__, DEVICE),
    ],
)
def test_what_libraries_raise_in_truth_is_known(write, tmp_path):
    with pytest.raises(Exception, match=r".") as error:
        write()
    assert full_disk(error.value, [tmp_path])
