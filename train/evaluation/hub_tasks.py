"""Search sets of the Hub in BEIR layout, through the library datasets.

Contract: `read_hub_task("USER/NAME")` reads the configurations `corpus`, `queries` and `default` (or `qrels`), as the
sets of BEIR, CoIR and MTEB have them; judgements are those of the split `test`.

Invariant: datasets runs no code of a repository, and neither does this module.
"""

from collections.abc import Iterator
from typing import Any

import datasets

from ..retrieval.task import Task
from .tasks import Rows, make_task

_JUDGEMENTS = ("default", "qrels")
_NEEDED = "a search set on the Hub has the configurations corpus, queries and default (the judgements, split test)"


def read_hub_task(name: str) -> Task:
    """Read a search set.

    Args:
        name: Hub id, USER/NAME.

    Raises:
        ValueError: it cannot be fetched, or is no search set in BEIR layout.
    """
    try:
        found = datasets.get_dataset_config_names(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"there is no task {name}: no such folder, and as a dataset of the Hub: {error}") from error
    judgements = next((config for config in _JUDGEMENTS if config in found), None)
    if judgements is None or not {"corpus", "queries"} <= set(found):
        raise ValueError(f"{name} has the configurations {', '.join(found)}, but {_NEEDED}")
    corpus, queries = (_rows(name, config, config) for config in ("corpus", "queries"))
    judged = _rows(name, judgements, "test")
    triples = Rows(judged.where, ((place, _triple(place, row)) for place, row in judged.rows))
    return make_task(name.rpartition("/")[2], corpus, queries, triples, {})


def _rows(name: str, config: str, split: str) -> Rows:
    try:
        splits = datasets.load_dataset(name, config)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"{name}: the configuration {config} cannot be read: {error}") from error
    chosen = split if split in splits else next(iter(splits)) if len(splits) == 1 else None
    if chosen is None:
        raise ValueError(f"{name}: {config} has the splits {', '.join(splits)}, but no {split}: {_NEEDED}")
    where = f"{name}, {config}"
    return Rows(where, _numbered(splits[chosen], where))


def _numbered(rows: datasets.Dataset, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(rows, start=1):
        yield f"{where}, row {number}", row


def _triple(place: str, row: dict[str, Any]) -> tuple[str, str, Any]:
    try:
        score = row["score"]
        # Stored as a decimal by some.
        whole = int(score) if isinstance(score, float) and score.is_integer() else score
        return str(row["query-id"]), str(row["corpus-id"]), whole
    except KeyError as error:
        raise ValueError(f"{place} has no {error}: a judgement has query-id, corpus-id and score") from error
