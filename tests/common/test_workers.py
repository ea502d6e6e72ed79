"""One item that kills or hangs its process costs that item and nothing else.

The items are expressions and the function is `eval`: fresh processes can import it, and an item can do what it likes.
"""

import multiprocessing
import signal
import subprocess
import sys
import time

import pytest
from open_codesage.train.common.workers import MEMORY, map_in_workers

CRASH = "__import__('os').kill(__import__('os').getpid(), 9)"
HANG = "__import__('time').sleep(60)"
RAISE = "1 / 0"


def run(batches, workers, seconds=30.0):
    return list(map_in_workers(eval, batches, workers, seconds, lambda item, reason: (item, reason)))


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers):
    slow_first = "__import__('time').sleep(0.3) or 0"
    batches = [[slow_first, "1"], *([str(2 * i), str(2 * i + 1)] for i in range(1, 40))]
    assert run(batches, workers) == list(range(80))


def test_nothing_to_do_is_nothing_done():
    assert run([], 2) == []
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_lost_items_are_named_and_their_neighbours_kept(workers):
    batches = [["0", CRASH, "2"], ["3", "4"], [RAISE, CRASH], ["7"], [HANG, "9"]]
    begin = time.monotonic()
    results = run(batches, workers, seconds=1.0)
    assert results == [0, (CRASH, "crash"), 2, 3, 4, (RAISE, "crash"), (CRASH, "crash"), 7, (HANG, "time_limit"), 9]
    assert time.monotonic() - begin < 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits all memory that is written to")
def test_an_item_that_takes_memory_without_end_is_lost():
    greedy = f"bytearray({MEMORY} + 1)"
    frugal = f"len(bytearray({MEMORY} // 64))"
    assert run([[greedy, frugal]], 1) == [(greedy, "crash"), MEMORY // 64]


def test_batches_are_read_as_they_are_needed():
    read = []

    def batches():
        for i in range(1000):
            read.append(i)
            yield [str(i)]

    results = map_in_workers(eval, batches(), 2, 30.0, lambda item, reason: None)
    assert next(results) == 0
    assert len(read) < 20
    results.close()
    assert not multiprocessing.active_children()


def test_workers_end_with_a_parent_that_is_killed():
    code = (
        "import os\n"
        "from open_codesage.train.common.workers import MEMORY, map_in_workers\n"
        "for pid in map_in_workers(eval, [[\"__import__('os').getpid()\"]] * 99, 1, 30.0, None):\n"
        "    print(pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    # The worker has the parent's standard output, so the end of that output is the end of both.
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.strip().isdigit()


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from open_codesage.train.common.workers import MEMORY, map_in_workers\n"
        "print(list(map_in_workers(eval, [['1']], 1, 30.0, None)))\n"
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert result.returncode != 0
    assert 'must stand under `if __name__ == "__main__":`' in result.stderr
