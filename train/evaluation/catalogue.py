"""From what a user names to tasks that can be measured.

Contract: `find_tasks` takes folders of every layout that is known here, folders of such folders, Hub ids of datasets in
BEIR layout, and `mteb:NAME`. What is none of these ends in a ValueError that names it and the layouts.

Layouts: a search set has `corpus.jsonl` (or .gz), a classification set `train.jsonl` (or .gz), a corpus of this package
`held_out.json`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpus.corpus import Corpus
from ..retrieval.protocols import parts
from ..retrieval.ranking import chance_mrr
from ..retrieval.task import Task, held_out_search
from .classification_tasks import PARTS, ClassificationTask, read_classification, task_hash
from .tasks import read_task, restrict

MTEB = "mteb:"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LAYOUTS = {"corpus.jsonl": "search", "train.jsonl": "classification", "held_out.json": "corpus"}
_LAYOUTS |= {f"{name}.gz": kind for name, kind in _LAYOUTS.items() if name.endswith("l")}


@dataclass(frozen=True)
class MtebTask:
    """A task of the library mteb.

    Attributes:
        name: `mteb:` and the library's name of it, since sets of ours may be called the same.
        task: the library's task, its data fetched.
    """

    name: str
    task: Any


AnyTask = Task | ClassificationTask | MtebTask


def find_tasks(names: Sequence[str], languages: Sequence[str] = ()) -> list[AnyTask]:
    """Read tasks.

    Args:
        names: folders, Hub ids, `mteb:NAME`.
        languages: restrict search to these; all if none.

    Raises:
        ValueError: something is no task, cannot be read, or two tasks have one name.
    """
    places: dict[str, str] = {}
    tasks: list[AnyTask] = []
    for name in names:
        for place in _places(name):
            task = _read(place, languages)
            if task.name in places:
                raise ValueError(
                    f"{places[task.name]} and {place} are both called {task.name}: rename a folder, or name one of them"
                )
            places[task.name] = place
            tasks.append(task)
    return tasks


def _places(name: str) -> list[str]:
    """The folder itself, or the task folders in it; other names as they are."""
    folder = Path(name)
    if not folder.is_dir() or _layout(folder):
        return [name]
    if inner := sorted(str(path) for path in folder.iterdir() if path.is_dir() and _layout(path)):
        return inner
    raise ValueError(
        f"{name} is no task and holds none: a search set has corpus.jsonl, queries.jsonl and qrels.tsv, "
        "a classification set train.jsonl, valid.jsonl and test.jsonl, a corpus of `open-codesage extract` "
        "held_out.json"
    )


def _layout(folder: Path) -> str | None:
    return next((kind for file, kind in _LAYOUTS.items() if (folder / file).is_file()), None)


def _read(place: str, languages: Sequence[str]) -> AnyTask:
    if place.startswith(MTEB):
        from . import mteb_tasks

        return MtebTask(place, mteb_tasks.find_mteb(place.removeprefix(MTEB)))
    folder = Path(place)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{place} is a file, not a task: give the folder of a task, or a folder of such")
    if not folder.exists():
        if not _HUB_ID.fullmatch(place):
            raise ValueError(
                f"there is no task {place}: no such folder, and neither USER/NAME, a dataset of the Hub, nor {MTEB}NAME"
            )
        from .hub_tasks import read_hub_task

        task = read_hub_task(place)
        return restrict(task, languages) if languages else task
    layout = _layout(folder)
    if layout == "classification":
        return read_classification(folder)
    if layout == "corpus":
        return held_out_task(folder, languages)
    task = read_task(folder)
    return restrict(task, languages) if languages else task


def describe(task: AnyTask) -> dict[str, Any]:
    """What the results tell about a task."""
    if isinstance(task, Task):
        sizes = {
            protocol: {
                part.name: {
                    "queries": len(part.queries),
                    "documents": len(part.documents),
                    "chance_mrr": chance_mrr(part.answers, len(part.documents)),
                }
                for part in parts(task, protocol)
            }
            for protocol in task.protocols
        }
        count = {"queries": len(task.queries), "documents": len(task.documents)}
        return {"layout": "search", "kind": task.kind, "hash": task.hash, **count, "parts": sizes}
    if isinstance(task, ClassificationTask):
        count = {part: len(task.rows[part].texts) for part in PARTS}
        return {"layout": "classification", "hash": task_hash(task), **count, "classes": len(task.classes)}
    metadata = task.task.metadata
    source = {"dataset": metadata.dataset["path"], "type": metadata.type, "main_score": metadata.main_score}
    return {"layout": "mteb", "hash": metadata.dataset["revision"], **source}


def held_out_task(folder: Path, languages: Iterable[str] = ()) -> Task:
    """Make the search for the held-out functions of a corpus by their summaries.

    Raises:
        ValueError: the corpus is missing or malformed, or nothing is held out.
    """
    functions = Corpus(folder).functions("held_out", tuple(languages) or None)
    if not len(functions):
        raise ValueError(f"no function of {folder} is held out: write the corpus again, with more source code")
    return held_out_search(functions, folder.name)
