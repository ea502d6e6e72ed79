"""Tasks of the library mteb: search sets of ours as tasks of it, and tasks of its leaderboards by their names.

Contract: `as_mteb(task)` makes of a search set an object that `mteb.evaluate` takes, without a Hub; `find_mteb(name)`
finds a task of the library, and fetches its data. `measure_mteb` measures a model on either, and names metrics as
`protocols.measure_rankings` does, so that they can stand in one table.

Invariant: on a set of ours the library's figures are ours, but for the order of documents with equal cosines, and for
white space at the ends of documents, which the library removes before a model sees them.
"""

from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from datasets.exceptions import DatasetsError
from sentence_transformers import SentenceTransformer

from ..common.hub_errors import HUB_ERRORS
from ..retrieval.protocols import RECALL_DEPTHS, Figures, parts
from ..retrieval.task import ALL, Task

if TYPE_CHECKING:
    from mteb import AbsTask

PROTOCOL = "mteb"
"""What the results call the library's own way of measuring."""

DEPTH = 1000
"""A document that is ranked lower counts as not found; the library's depth, too."""

_METRICS = {"mrr": f"mrr_at_{DEPTH}", "map": f"map_at_{DEPTH}", "ndcg@10": "ndcg_at_10"}
_METRICS |= {f"recall@{depth}": f"recall_at_{depth}" for depth in RECALL_DEPTHS}
_METRICS |= {"macro_f1": "f1", "accuracy": "accuracy"}
_SEARCH = ("Retrieval", "Reranking", "InstructionRetrieval")


def as_mteb(task: Task, protocol: str = "full") -> "AbsTask":
    """Make a task of the library out of a search set.

    Args:
        task: the set.
        protocol: one of its protocols; what that ranks apart becomes the subsets of the task.

    Returns:
        A retrieval task that holds its data.

    Raises:
        ValueError: the library is not installed, or no query has an answer by the protocol.
    """
    _library()
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    found = parts(task, protocol)
    subsets = {"default" if part.name == ALL else part.name: part for part in found}

    class Search(AbsTaskRetrieval):
        """A search set of this package."""

        metadata = TaskMetadata(
            name=task.name,
            description=f"{task.name}, protocol {protocol}",
            dataset={"path": task.name, "revision": task.hash},
            type="Retrieval",
            category="t2t",
            # The library's codes lack some programming languages, and a set may have any.
            eval_langs=["eng-Latn"] if protocol == "full" else {name: ["eng-Latn"] for name in subsets},
            main_score="ndcg_at_10",
        )
        ignore_identical_ids = any(task.own)
        k_values = (1, 5, 10, 50, 100, DEPTH)

    made = Search()
    made.dataset = {
        name: {
            "test": {
                "queries": _table([task.queries[number] for number in part.queries]),
                "corpus": _table([task.documents[number] for number in part.documents]),
                "relevant_docs": {
                    task.queries[query].id: {task.documents[document].id: 1 for document in documents}
                    for query, documents in zip(part.queries, part.answers, strict=True)
                },
                "top_ranked": None,
            }
        }
        for name, part in subsets.items()
    }
    made.data_loaded = True
    return made


def _table(texts: list[Any]) -> Dataset:
    return Dataset.from_dict({"id": [text.id for text in texts], "text": [text.text for text in texts]})


def find_mteb(name: str) -> "AbsTask":
    """Find a task of the library by its name, such as CosQA, and fetch its data from the Hub.

    Raises:
        ValueError: the library is not installed, has no such task, or its data cannot be fetched.
    """
    mteb = _library()
    try:
        task = mteb.get_task(name)
    except KeyError as error:
        raise ValueError(f"mteb has no task {name}: {error.args[0]}") from error
    try:
        task.load_data()
    except (*HUB_ERRORS, DatasetsError, ValueError) as error:
        raise ValueError(
            f"the data of mteb's task {name} ({task.metadata.dataset['path']}) cannot be fetched, "
            f"which needs a Hub that can be reached: {type(error).__name__}: {error}"
        ) from error
    return task


def measure_mteb(
    task: "AbsTask", model: SentenceTransformer, batch_size: int
) -> tuple[dict[str, dict[str, Figures]], dict[str, Any]]:
    """Measure a model on a task of the library, as the library does.

    Texts, titles and prompts are put together in the library's way, and inputs are as long as the model was set to.

    Args:
        task: of `as_mteb` or `find_mteb`.
        model: an open model.
        batch_size: texts per batch.

    Returns:
        Under the protocol `PROTOCOL` the figures of every part in percent: of `ALL`, the mean over the library's
        subsets, and, if there are several, of each. Its main score is among them, under the library's name if we have
        none for it. And what the results tell about the task.
    """
    mteb = _library()
    done = mteb.evaluate(
        model, task, cache=None, encode_kwargs={"batch_size": batch_size}, show_progress_bar=False, co2_tracker=False
    )
    main = task.metadata.main_score
    search = task.metadata.type in _SEARCH
    figures: dict[str, Figures] = {}
    for split, entries in done.task_results[0].scores.items():
        for entry in entries:
            part = entry["hf_subset"] if len(task.eval_splits) == 1 else f"{entry['hf_subset']} {split}"
            figures[part] = _figures(entry, main, search)
    metrics = next(iter(figures.values()))
    mean = {metric: sum(part[metric] for part in figures.values()) / len(figures) for metric in metrics}
    by_part = {ALL: mean} | (figures if len(figures) > 1 else {})
    facts = {
        "mteb": metadata.version("mteb"),
        "dataset": task.metadata.dataset["path"],
        "revision": task.metadata.dataset["revision"],
        "type": task.metadata.type,
        "main_score": main,
    }
    return {PROTOCOL: by_part}, facts


def _figures(entry: dict[str, Any], main: str, search: bool) -> Figures:
    """Our names for the library's metrics. Of a search task it calls recall@1 accuracy."""
    ours = {name: theirs for name, theirs in _METRICS.items() if theirs in entry}
    if search:
        ours.pop("accuracy", None)
    if main not in ours.values():
        ours[main] = main
    return {name: 100 * float(entry[theirs]) for name, theirs in ours.items()}


def _library() -> ModuleType:
    try:
        import mteb
    except ImportError as error:
        raise ValueError('tasks of mteb need that library: pip install "open-codesage[mteb]"') from error
    return mteb
