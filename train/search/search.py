"""The command `search`: which functions of a tree answer a question.

Contract: results alone go to standard output, one line `path:line: signature` each, best first, or one JSON object;
what was indexed and what was skipped goes to standard error. Paths begin with the folder as it was given, so an editor
that is started in the same place opens them.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..common.console import note, say

if TYPE_CHECKING:
    from .index import Hit, Update

_EXAMPLES = 5


@dataclass(frozen=True)
class SearchConfig:
    """Search the functions of a tree of source code with an encoder and BM25 together.

    Attributes:
        query: what to look for, in words or in code.
        path: folder of source code.
        model: folder or Hub id of the encoder; the released open-codesage-nano if none.
        index: folder where the index is kept, one for each tree; in the user's cache if none.
        limit: how many functions to give.
        json: write one JSON object instead of lines.
        dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if none.
        rebuild: make the index anew.
        num_proc: number of processes that parse; one per core if none.
    """

    query: str
    path: Path = Path()
    model: str | None = None
    index: Path | None = None
    limit: int = 10
    json: bool = False
    dimension: int | None = None
    rebuild: bool = False
    num_proc: int | None = None

    positional: ClassVar[tuple[str, ...]] = ("query", "path")

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise ValueError("the query is empty: say in words what to look for")
        for name in ("limit", "dimension", "num_proc"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")


def main(config: SearchConfig) -> "list[Hit]":
    """Bring the index up to date, search it, and write what was found.

    Returns:
        The functions, best first.

    Raises:
        ValueError: the tree, the model or the index can not be used, or there is no function in the tree.
    """
    begin = time.perf_counter()
    from transformers.utils import logging

    from .index import Index

    if config.model is None or Path(config.model).is_dir():
        logging.disable_progress_bar()  # opening a folder is short; a download of a Hub id keeps its bar
    with Index.open(
        config.path,
        config.model,
        folder=config.index,
        dimension=config.dimension,
        rebuild=config.rebuild,
        workers=config.num_proc,
    ) as index:
        opened = time.perf_counter()
        update = index.update(show_progress=True)
        if not update.functions:
            raise ValueError(
                f"no function in {config.path}{_skipped(update)}: name another folder, or look at its .gitignore"
            )
        asked = time.perf_counter()
        hits = index.search(config.query, config.limit)
        answered = time.perf_counter()
    if config.json:
        seconds = {"open": opened - begin, "update": asked - opened, "query": answered - asked}
        say(json.dumps(_object(config, index.model, update, hits, seconds), indent=1))
    else:
        note(
            f"{update.functions:,} functions in {update.files:,} files; {update.parsed:,} files read, "
            f"{update.embedded:,} functions embedded, {update.removed:,} files gone, in {update.seconds:.1f} s"
            f"{_skipped(update)}"
        )
        for hit in hits:
            say(f"{_printable(config.path / hit.path)}:{hit.line}: {hit.signature}")
    return hits


def _skipped(update: "Update") -> str:
    """How many paths were skipped, by reason, most first."""
    counts = sorted(
        ((len(paths), reason) for reason, paths in update.skipped.items()), key=lambda item: (-item[0], item[1])
    )
    return "; skipped: " + ", ".join(f"{count:,} {reason}" for count, reason in counts) if counts else ""


def _object(
    config: SearchConfig, model: str, update: "Update", hits: "list[Hit]", seconds: dict[str, float]
) -> dict[str, Any]:
    return {
        "query": config.query,
        "tree": str(config.path),
        "model": model,
        "results": [{**dataclasses.asdict(hit), "path": str(config.path / hit.path)} for hit in hits],
        "index": {name: getattr(update, name) for name in ("files", "functions", "parsed", "embedded", "removed")},
        "skipped": {
            reason: {"count": len(paths), "examples": paths[:_EXAMPLES]} for reason, paths in update.skipped.items()
        },
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _printable(path: Path) -> str:
    from .chunks import printable

    return printable(str(path))
