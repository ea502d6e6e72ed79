"""What a first search of a tree costs, and what the next ones do.

    python benchmarks/search.py --model FOLDER --source FOLDER ... [--functions 5000] [--queries 10]

Files of the sources are copied, in the order of their paths, until they hold the number of functions. Then the command
itself runs in fresh processes, as a user runs it: once without an index, once with. "start" is what is left of the wall
time when the update and the query are taken off: interpreter, libraries, opening the model. The processor time, of all
processes together, is what a busy machine distorts least. A warm query is one more query of an open index
(`Index.search`), the median of several.

The program fails when indexing takes longer than `--most-index` seconds, or the update and the query of the second run
together longer than `--most-query`.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from open_codesage.tokenization.functions import extract_functions
from open_codesage.tokenization.source import Unparsable, decode
from open_codesage.train.search.files import survey
from open_codesage.train.search.index import Index

QUERIES = (
    "shortest path between two nodes",
    "read a file line by line",
    "parse command line arguments",
    "normalise the rows of a matrix",
    "send a request and retry when it fails",
)


def copy_tree(sources: list[Path], tree: Path, functions: int) -> int:
    """Copy source files until they hold a number of functions; returns how many they hold."""
    count = 0
    for number, source in enumerate(sources):
        for file in survey(source).files:
            if count >= functions:
                return count
            try:
                text = decode((source / file.path).read_bytes())
                found = extract_functions(text, file.language, documented_only=False)
            except Unparsable:
                continue
            target = tree / f"{number}-{source.name}" / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, target)
            count += len(found)
    return count


def run_command(tree: Path, model: str, index: Path) -> tuple[dict[str, Any], float, float]:
    """Run the command in a fresh process; returns what it says, its wall time and its processor time in seconds."""
    script = "import sys; from open_codesage.train.cli import main; sys.exit(main())"
    options = ["search", QUERIES[0], str(tree), "--model", model, "--index", str(index), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", script, *options], stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(result.stdout), wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure and print; returns 1 if a limit is passed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True, help="folder or Hub id of the encoder")
    arguments.add_argument("--source", type=Path, nargs="+", required=True, help="folders of source code")
    arguments.add_argument("--functions", type=int, default=5000, help="functions in the tree (default: 5000)")
    arguments.add_argument("--queries", type=int, default=10, help="warm queries (default: 10)")
    arguments.add_argument("--most-index", type=float, default=180.0, help="seconds to index (default: 180)")
    arguments.add_argument("--most-query", type=float, default=1.0, help="seconds of update and query (default: 1)")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        tree, index = Path(folder, "tree"), Path(folder, "index")
        if copy_tree(options.source, tree, options.functions) < options.functions:
            print(f"the sources hold less than {options.functions} functions", file=sys.stderr)
            return 1
        load = os.getloadavg()[0]
        first, first_wall, first_cpu = run_command(tree, options.model, index)
        second, second_wall, second_cpu = run_command(tree, options.model, index)
        size = sum(path.stat().st_size for path in index.iterdir()) / 1e6
        warm = []
        with Index.open(tree, options.model, folder=index) as opened:
            for number in range(options.queries + 1):
                begin = time.perf_counter()
                opened.search(QUERIES[number % len(QUERIES)])
                warm.append(time.perf_counter() - begin)
    held = first["index"]
    later = second["seconds"]["update"] + second["seconds"]["query"]
    print(f"{held['functions']} functions in {held['files']} files, {held['embedded']} distinct; index {size:.1f} MB")
    print(f"load average at the start {load:.1f}, cores {os.cpu_count()}\n")
    print("| | wall s | start s | update s | query s | processor s |\n|---|---:|---:|---:|---:|---:|")
    runs = (("first search", first, first_wall, first_cpu), ("next search", second, second_wall, second_cpu))
    for name, each, wall, cpu in runs:
        update, query = each["seconds"]["update"], each["seconds"]["query"]
        print(f"| {name} | {wall:.1f} | {wall - update - query:.1f} | {update:.2f} | {query:.2f} | {cpu:.1f} |")
    print(f"\nwarm query: {1000 * statistics.median(warm[1:]):.0f} ms")
    print(f"{held['embedded'] / first['seconds']['update']:.0f} functions/s in the first update")
    failed = first["seconds"]["update"] > options.most_index or later > options.most_query
    if failed:
        print("above the limit", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
