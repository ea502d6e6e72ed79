"""The commands `search` and `index`.

Contract: results alone go to standard output: a line each, with code if it is asked for, or JSON. What was indexed and
what was skipped goes to standard error. Paths begin with the folder as it was given, so an editor that is started in
the same place opens them. `main` says whether anything was found, as `grep` does by its exit status.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.console import note, say
from .answers import as_object, show
from .configs import IndexConfig, SearchConfig, require_query
from .filters import Filters
from .index import Hit, Index, Update, clear_indexes

_EXAMPLES = 5
_HERE = (Path(),)


def main(config: SearchConfig) -> bool:
    """Bring the index up to date, search it, and write what was found.

    Returns:
        Whether anything was found.

    Raises:
        ValueError: a tree, the model or the queries cannot be opened, or a filter makes no sense.
    """
    filters = Filters(config.language, config.glob, config.kind)
    queries = list(_queries(config.queries)) if config.queries is not None else []
    begin = time.perf_counter()
    with _opened(config) as index:
        opened = time.perf_counter()
        update = index.update(show_progress=True)
        _tell(update, config.skipped, config.json)
        asked = time.perf_counter()
        if config.queries is not None:
            return _answer_all(index, queries, config, filters)
        hits = _ask(index, config, filters)
        answered = time.perf_counter()
    if config.json:
        seconds = {"open": opened - begin, "update": asked - opened, "query": answered - asked}
        say(json.dumps(_object(config, index.model, update, hits, seconds), indent=1))
    elif config.jsonl:
        say(json.dumps({"id": None, "query": config.query, "results": _results(hits, config)}))
    else:
        show(hits, config.context)
    return bool(hits)


def index_main(config: IndexConfig) -> None:
    """Make, refresh, describe or delete the index of some trees.

    Raises:
        ValueError: a tree or the model cannot be opened, or the index cannot be written.
    """
    if config.clear:
        for folder in clear_indexes(config.path or _HERE, config.index):
            say(f"deleted {folder}")
        return
    with _opened(config) as index:
        update = index.status() if config.status else index.update(show_progress=True)
        for place, size in index.sizes().items():
            say(f"{place}: {size / 1e6:,.1f} MB")
        say(f"{update.units:,} units in {update.files:,} files{_skipped(update)}")
        if config.skipped:
            _list_skipped(update)


def _opened(config: SearchConfig | IndexConfig) -> Index:
    return Index.open(
        config.path or _HERE,
        config.model,
        folder=config.index,
        dimension=config.dimension,
        docs=config.docs,
        rebuild=config.rebuild,
        workers=config.num_proc,
    )


def _ask(index: Index, config: SearchConfig, filters: Filters) -> list[Hit]:
    if config.related is None:
        return index.search(config.query, config.limit, filters)
    path, colon, line = config.related.rpartition(":")
    if not (colon and path and line.isdecimal()):
        raise ValueError(f"--related {config.related}: give a file and a line, as in src/door.py:12")
    return index.related(Path(path), int(line), config.limit, filters)


def _answer_all(index: Index, queries: list[dict[str, Any]], config: SearchConfig, filters: Filters) -> bool:
    found = False
    for query in queries:
        hits = index.search(query["query"], config.limit, filters)
        found = found or bool(hits)
        if config.jsonl:
            say(json.dumps({"id": query["id"], "results": _results(hits, config)}))
        else:
            say(f"# {query['id']}: {query['query']}")
            show(hits, config.context)
    return found


def _queries(source: str) -> Iterator[dict[str, Any]]:
    """Read the queries of a file, or of standard input."""
    where = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise ValueError(f"the queries {source} cannot be read: {error.strerror}") from error
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            query = json.loads(line)
            if not (isinstance(query, dict) and "id" in query and isinstance(query.get("query"), str)):
                raise ValueError("an object with id and query is needed")
            require_query(query["query"])
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}, line {number}: {error}") from error
        yield query


def _results(hits: list[Hit], config: SearchConfig) -> list[dict[str, Any]]:
    """What `--jsonl` says of hits; paths are below the tree if there is one tree."""
    names = ("path", "line", "end_line", "name", "kind", "score")
    entries = [as_object(hit, config.context) for hit in hits]
    if len(config.path) < 2:
        entries = [{**entry, "path": hit.path} for entry, hit in zip(entries, hits, strict=True)]
    return [{name: entry[name] for name in (*names, *(("code",) if config.context else ()))} for entry in entries]


def _tell(update: Update, skipped: bool, silent: bool) -> None:
    if skipped:
        _list_skipped(update)
    if not silent:
        note(
            f"{update.units:,} units in {update.files:,} files; {update.parsed:,} files read, "
            f"{update.embedded:,} units embedded, {update.removed:,} files gone, in {update.seconds:.1f} s"
            f"{_skipped(update)}"
        )
    if not update.units:
        note("there is nothing to find: name another folder, look at its .gitignore, or at what --skipped lists")


def _skipped(update: Update) -> str:
    """How many paths were skipped, by reason, most first."""
    counts = sorted(
        ((len(paths), reason) for reason, paths in update.skipped.items()), key=lambda item: (-item[0], item[1])
    )
    return "; skipped: " + ", ".join(f"{count:,} {reason}" for count, reason in counts) if counts else ""


def _list_skipped(update: Update) -> None:
    for reason, paths in sorted(update.skipped.items()):
        for path in paths:
            note(f"skipped ({reason}): {path}")


def _object(
    config: SearchConfig, model: str, update: Update, hits: list[Hit], seconds: dict[str, float]
) -> dict[str, Any]:
    return {
        "query": config.query or config.related,
        "trees": [str(path) for path in config.path or _HERE],
        "model": model,
        "results": [as_object(hit, config.context) for hit in hits],
        "index": {name: getattr(update, name) for name in ("files", "units", "parsed", "embedded", "removed")},
        "skipped": {
            reason: {"count": len(paths), "examples": paths[:_EXAMPLES]} for reason, paths in update.skipped.items()
        },
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
