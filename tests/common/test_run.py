"""An output belongs to one process at a time, and tells whether it is finished."""

import json
import subprocess
import sys
import threading

import pytest
from open_codesage.train.common.output import new_folder, owned
from open_codesage.train.common.run import Run, reset_unless_same

SETTINGS = {"seed": 0, "model": {"width": 32}}

HOLD = """
import sys
from pathlib import Path
from open_codesage.train.common.output import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `out` until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_by_whom(tmp_path, holder):
    told = rf"out is being written by process {holder.pid} on .*, since"
    with pytest.raises(ValueError, match=told) as error, new_folder(tmp_path / "out"):
        pytest.fail("two processes write one output")
    assert "choose another output" in str(error.value)
    run = Run(tmp_path / "out", SETTINGS, "record.json")
    with pytest.raises(ValueError, match=f"process {holder.pid}"), run.begin():
        pytest.fail("two processes write one output")
    with new_folder(tmp_path / "other"):
        pass


def test_who_waits_gets_the_output_when_the_other_has_left_it(tmp_path, holder):
    threading.Timer(0.2, holder.stdin.close).start()
    with Run(tmp_path / "out", SETTINGS, "record.json").begin(wait=True):
        assert holder.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_a_distributed_run_that_is_not_the_first_holds_nothing(tmp_path, holder):
    with Run(tmp_path / "out", SETTINGS, "record.json").begin(first=False) as folder:
        assert folder == tmp_path / "out.run"


def test_who_is_killed_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".out.lock").is_file()
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_who_holds_an_output_may_hold_it_again(tmp_path):
    with owned(tmp_path / "out"):
        with new_folder(tmp_path / "out") as folder:
            (folder / "file").touch()
        refused = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path / "out")], capture_output=True, text=True, check=False, input=""
        )
        assert "is being written by process" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_error_frees_the_output(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").touch()


def test_a_finished_run_is_found_by_its_settings(tmp_path):
    run = Run(tmp_path / "out", SETTINGS, "record.json")
    assert not run.finished()
    with run.begin(), run.write({"steps": 3}) as folder:
        (folder / "weights").touch()
        assert not run.finished()
    assert run.finished()
    assert json.loads((tmp_path / "out" / "record.json").read_text()) == {"steps": 3, "settings": SETTINGS}
    with pytest.raises(ValueError, match=r"model\.width was 32, is 64"):
        Run(tmp_path / "out", {"seed": 0, "model": {"width": 64}}, "record.json").finished()
    (tmp_path / "out" / "record.json").unlink()
    with pytest.raises(ValueError, match="was not made by this command"):
        run.finished()


def test_parts_made_under_other_settings_are_removed(tmp_path):
    folder = reset_unless_same(tmp_path / "parts", SETTINGS)
    (folder / "part").touch()
    assert (reset_unless_same(folder, dict(SETTINGS)) / "part").exists()
    assert not (reset_unless_same(folder, {**SETTINGS, "seed": 1}) / "part").exists()
