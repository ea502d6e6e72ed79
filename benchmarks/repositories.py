"""Answers to the queries of a benchmark of whole repositories, and how good they are.

    python benchmarks/repositories.py --trees TREES --repositories repos.jsonl --queries DATA [--model FOLDER] \
        [--answers answers.jsonl]

`repos.jsonl` has one object a line: `name`, and `root`, the folder below the work tree that is indexed. `TREES/NAME` is
a work tree, `DATA/NAME.jsonl` its queries: `id`, `query`, `category`, and the targets `relevant` and `secondary`, each
a `path` and, where it is not the whole file, `start_line` and `end_line`.

The answers are written as one object a line, `id` and `results` of `path`, `line` and `end_line`, best first. Printed
is NDCG@10 by repository and by category, and the mean over repositories. A target is found at the rank of the first
result in its file that overlaps its lines; a second result from a file that was found takes a rank and gains nothing;
all targets of a query count alike.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from open_codesage.train.search.index import Hit, Index

RESULTS = 10


def is_same(found: str, wanted: str) -> bool:
    """Whether two paths below different folders of a tree are the same file."""
    return found == wanted or found.endswith(f"/{wanted}") or wanted.endswith(f"/{found}")


def place(target: dict[str, Any], hits: list[Hit]) -> int | None:
    """The rank of the first hit that is in a target, from 1."""
    for rank, hit in enumerate(hits, start=1):
        first, last = target.get("start_line", 0), target.get("end_line", math.inf)
        if is_same(hit.path, target["path"]) and hit.line <= last and hit.end_line >= first:
            return rank
    return None


def ndcg(query: dict[str, Any], hits: list[Hit]) -> float:
    """NDCG@10 of the hits of one query."""
    targets = query["relevant"] + query["secondary"]
    places = {place(target, hits) for target in targets} - {None}
    gains = sum(1 / math.log2(rank + 1) for rank in places if rank is not None)
    return gains / sum(1 / math.log2(rank + 1) for rank in range(1, min(RESULTS, len(targets)) + 1))


def read_lines(file: Path) -> Iterable[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> int:
    """Answer, write and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trees", type=Path, required=True, help="folder of the work trees")
    arguments.add_argument("--repositories", type=Path, required=True, help="JSON lines: name, root")
    arguments.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    arguments.add_argument("--model", help="folder or Hub id of the encoder; the released one if none")
    arguments.add_argument("--answers", type=Path, help="where the answers are written")
    options = arguments.parse_args()

    by_repository: dict[str, list[float]] = {}
    by_category: dict[str, list[float]] = defaultdict(list)
    answers = []
    for repository in read_lines(options.repositories):
        name, tree = repository["name"], options.trees / repository["name"] / repository["root"]
        with tempfile.TemporaryDirectory() as folder, Index.open(tree, options.model, folder=Path(folder)) as index:
            index.update()
            values = by_repository.setdefault(name, [])
            for query in read_lines(options.queries / f"{name}.jsonl"):
                hits = index.search(query["query"], RESULTS)
                values.append(ndcg(query, hits))
                by_category[query["category"]].append(values[-1])
                results = [{"path": hit.path, "line": hit.line, "end_line": hit.end_line} for hit in hits]
                answers.append(json.dumps({"id": query["id"], "results": results}))
        print(f"{name:22} {statistics.fmean(values):.3f}  {len(values)} queries", flush=True)
    if options.answers:
        options.answers.write_text("\n".join([*answers, ""]), encoding="utf-8")
    for category, values in sorted(by_category.items()):
        print(f"{category:22} {statistics.fmean(values):.3f}  {len(values)} queries")
    means = [statistics.fmean(values) for values in by_repository.values()]
    print(f"{statistics.fmean(means):.4f} NDCG@10, mean over {len(means)} repositories, {len(answers)} queries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
