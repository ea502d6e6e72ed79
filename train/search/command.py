"""The command `search`: what in a tree of source code answers a question.

Contract: results alone go to standard output, one line `path:line: signature` each, best first, or one JSON object;
what was indexed and what was skipped goes to standard error. Paths begin with the folder as it was given, so an editor
that is started in the same place opens them.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from ..common.console import note, say
from .configs import SearchConfig
from .index import Hit, Index, Update
from .reading import printable

_EXAMPLES = 5


def main(config: SearchConfig) -> list[Hit]:
    """Bring the index up to date, search it, and write what was found.

    Raises:
        ValueError: the tree or the model can not be opened, or there is nothing to find in the tree.
    """
    begin = time.perf_counter()
    with Index.open(
        config.path,
        config.model,
        folder=config.index,
        dimension=config.dimension,
        docs=config.docs,
        rebuild=config.rebuild,
        workers=config.num_proc,
    ) as index:
        opened = time.perf_counter()
        update = index.update(show_progress=True)
        if config.skipped:
            _list_skipped(update)
        if not update.units:
            raise ValueError(
                f"there is nothing to find in {config.path}{_skipped(update)}: name another folder, or look at its "
                ".gitignore"
            )
        asked = time.perf_counter()
        hits = index.search(config.query, config.limit)
        answered = time.perf_counter()
    if config.json:
        seconds = {"open": opened - begin, "update": asked - opened, "query": answered - asked}
        say(json.dumps(_object(config, index.model, update, hits, seconds), indent=1))
    else:
        note(
            f"{update.units:,} units in {update.files:,} files; {update.parsed:,} files read, "
            f"{update.embedded:,} units embedded, {update.removed:,} files gone, in {update.seconds:.1f} s"
            f"{_skipped(update)}"
        )
        for hit in hits:
            say(f"{printable(str(config.path / hit.path))}:{hit.line}: {hit.signature}")
    return hits


def _skipped(update: Update) -> str:
    """How many paths were skipped, by reason, most first."""
    counts = sorted(
        ((len(paths), reason) for reason, paths in update.skipped.items()), key=lambda item: (-item[0], item[1])
    )
    return "; skipped: " + ", ".join(f"{count:,} {reason}" for count, reason in counts) if counts else ""


def _list_skipped(update: Update) -> None:
    for reason, paths in sorted(update.skipped.items()):
        for path in paths:
            note(f"skipped ({reason}): {printable(path)}")


def _object(
    config: SearchConfig, model: str, update: Update, hits: list[Hit], seconds: dict[str, float]
) -> dict[str, Any]:
    return {
        "query": config.query,
        "tree": str(config.path),
        "model": model,
        "results": [{**dataclasses.asdict(hit), "path": str(config.path / hit.path)} for hit in hits],
        "index": {name: getattr(update, name) for name in ("files", "units", "parsed", "embedded", "removed")},
        "skipped": {
            reason: {"count": len(paths), "examples": paths[:_EXAMPLES]} for reason, paths in update.skipped.items()
        },
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
