"""A program of a test that runs into its limit leaves nothing behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys, time
inner = "import time; time.sleep(600)"
started = [subprocess.Popen([sys.executable, "-c", inner], start_new_session=own) for own in (False, True)]
print(*(process.pid for process in started), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_program_has_started_ends_with_it(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired) as late:
        subprocess.run(
            [sys.executable, "-c", PARENT], capture_output=True, timeout=15, env={"PATH": os.environ["PATH"]}
        )
    pids = late.value.stdout.split()
    assert len(pids) == 2, "both were there"
    for _ in range(200):
        if not any(_lives(int(pid)) for pid in pids):
            return
        time.sleep(0.05)
    pytest.fail("a program that was started by another lives on")


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
