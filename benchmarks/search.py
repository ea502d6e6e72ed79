"""What a search costs: the first of a tree, the next ones, and one among many units.

    python benchmarks/search.py --tree FOLDER [--model FOLDER] [--runs 5] [--units 100000]

The command itself runs in fresh processes, as a user runs it: `--runs` times with an empty index, and as often with the
one that is there. Of wall time and of the processor time of all processes together the median and the range are
printed; the processor time is what a busy machine distorts least. Then a collection of `--units` units, made of the
tree's own under other paths, is searched in this process, with one thread. `--help` and the error of a wrong path are
timed as well.

The program fails when the median processor time of an answer from a warm index is above `--most-warm` seconds, that of
a first index above `--most-first` on the cores together, or the median search of the large collection above
`--most-large` milliseconds of wall time.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from open_codesage.train.search.collection import Collection
from open_codesage.train.search.encoders import open_encoder
from open_codesage.train.search.index import Index
from open_codesage.train.search.ranking import rank
from open_codesage.train.search.released import released_model
from open_codesage.train.search.signals import Question

QUERIES = (
    "parse a header of a request",
    "how are errors turned into responses",
    "close all connections on shutdown",
    "read a file line by line",
    "Context",
)
SCRIPT = "import sys; from open_codesage.train.cli import main; sys.exit(main())"


def run(arguments: list[str], statuses: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """Run the command in a fresh process; returns its wall time and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in statuses:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, times: list[tuple[float, float]]) -> float:
    """Print the median and range of some runs; returns the median processor time."""
    cells = []
    for values in zip(*times, strict=True):
        cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)
    return statistics.median(cpu for _, cpu in times)


def enlarged(part: Collection, units: int) -> Collection:
    """A collection of that many units: copies of one, each under a folder of its own."""
    copies = -(-units // len(part.units))
    parts = [
        Collection(
            [f"copy{number}/{path}" for path in part.paths],
            part.languages,
            part.units,
            part.embeddings,
            part._keys,
            part._key_counts,
        )
        for number in range(copies)
    ]
    return Collection.joined(parts)


def main() -> int:
    """Measure and print; returns 1 if a limit is passed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tree", type=Path, required=True, help="folder of source code")
    arguments.add_argument("--model", default=released_model(), help="folder or Hub id of the encoder")
    arguments.add_argument("--runs", type=int, default=5, help="runs of each kind (default: 5)")
    arguments.add_argument("--units", type=int, default=100_000, help="units of the large collection (default: 100000)")
    arguments.add_argument("--most-warm", type=float, default=1.0, help="processor seconds of an answer (default: 1)")
    arguments.add_argument("--most-first", type=float, default=6.0, help="processor seconds of an index (default: 6)")
    arguments.add_argument("--most-large", type=float, default=100.0, help="milliseconds of a search (default: 100)")
    options = arguments.parse_args()

    print(f"load average at the start {os.getloadavg()[0]:.1f}, cores {os.cpu_count()}\n")
    print("| | wall s | processor s |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        search = ["search", QUERIES[0], str(options.tree), "--model", options.model, "--index", str(index)]
        first = []
        for _ in range(options.runs):
            shutil.rmtree(index, ignore_errors=True)
            first.append(run(search))
        slowest = row("first search, which makes the index", first)
        warm = row("next search", [run(search) for _ in range(options.runs)])
        row("`--help`", [run(["search", "--help"]) for _ in range(options.runs)])
        row("a path that is missing", [run(["search", "x", "missing"], (2,)) for _ in range(options.runs)])
        size = sum(path.stat().st_size for path in index.iterdir()) / 1e6
        with Index.open(options.tree, options.model, folder=index) as opened:
            part, _ = opened._load()

    large = enlarged(part, options.units)
    encoder = open_encoder(options.model)
    walls = []
    for number in range(3 * len(QUERIES) + 1):
        begin = time.perf_counter()
        query = QUERIES[number % len(QUERIES)]
        rank(Question(query, encoder.queries([query])[0], large), 10)
        walls.append(1000 * (time.perf_counter() - begin))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    later = walls[1:]
    held = large.embeddings.nbytes / 1e6
    print(f"\n{len(part.units):,} units in {len(part.paths):,} files: index of {size:.1f} MB")
    print(
        f"{len(large.units):,} units: {statistics.median(later):.0f} ms ({min(later):.0f} to {max(later):.0f}) for a "
        f"search, {walls[0]:.0f} ms for the first; embeddings {held:,.0f} MB, process {memory:,.0f} MB"
    )
    failed = slowest > options.most_first or warm > options.most_warm or float(np.median(later)) > options.most_large
    if failed:
        print("above a limit", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
