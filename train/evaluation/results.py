"""The record of a run, `results.json`: what was measured, on what, how, and what came out.

Contract: one JSON object (docs/commands/evaluate.md has it field by field): `schema`; `models` and `tasks` by name;
`rows`, one figure each (model, task, protocol, part, metric, value in percent); `runs`, one for every model and task;
`cosines`; `packages`; `settings`.

Invariant: a figure stands in one row, and all that it depends on stands in the same file.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..common.untrusted import brief, read_object
from ..retrieval.task import ALL

SCHEMA = "open-codesage-results/1"


PROTOCOLS = {
    "full": "all documents ranked",
    "same_language": "documents of the query's language ranked, mean over languages",
    "pairwise": "documents of one language ranked, mean over pairs of languages",
    "linear": "linear layer on the frozen encoder",
    "full fine-tuning": "all weights trained",
    "lora": "adapters trained",
    "words": "logistic regression on words",
}
"""What protocols are called in words."""

SHOWN = ("mrr", "map", "map@r", "recall@10", "ndcg@10", "macro_f1", "accuracy")
"""Metrics for people, in this order, as far as they were measured; the record has all."""

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]


_ROW = ("model", "task", "protocol", "part", "metric")
_FIELDS: dict[str, type] = {
    "schema": str,
    "models": dict,
    "tasks": dict,
    "rows": list,
    "runs": list,
    "cosines": list,
    "packages": dict,
    "settings": dict,
}

RESULTS_BYTES = 256 << 20
"""Longest `results.json` that is read."""


def read_results(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        ValueError: it cannot be read, or has another schema.
    """
    record = read_object(path, RESULTS_BYTES)
    if record.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} is no results.json of `open-codesage evaluate`: "
            f"the schema is {brief(record.get('schema'))} instead of {SCHEMA!r}"
        )
    return record


def require_record(path: Path) -> None:
    """Make sure that a file is a record, whole and with nothing else in it, as far as its form tells.

    Raises:
        ValueError: it is not; the message names the file and what is wrong.
    """
    record = read_results(path)
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(record.get(name), kind)]:
        raise ValueError(f"{path} has no {', '.join(wrong)} as a record has")
    if unknown := sorted(record.keys() - _FIELDS.keys()):
        raise ValueError(f"{path} has the keys {brief(unknown)}, which are not those of a record")
    for name, kind in _FIELDS.items():
        entries = record[name] if kind is list else record[name].values() if name in ("models", "tasks") else ()
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path}: every entry of {name} has to be an object")
    for row in record["rows"]:
        value = row.get("value")
        numeric = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        names = all(isinstance(row.get(field), str) for field in _ROW)
        if not numeric or not names or row.keys() != {*_ROW, "value"}:
            raise ValueError(f"{path} has the row {brief(row)}: a row is {', '.join(_ROW)} and a finite value")
        if row["model"] not in record["models"] or row["task"] not in record["tasks"]:
            raise ValueError(f"{path} has a row of {brief((row['model'], row['task']))}, which it does not name above")


def rows_of(model: str, task: str, figures: Figures) -> list[dict[str, Any]]:
    """Rows of figures that are given by protocol, part and metric."""
    return [
        {"model": model, "task": task, "protocol": protocol, "part": part, "metric": metric, "value": value}
        for protocol, parts in figures.items()
        for part, metrics in parts.items()
        for metric, value in metrics.items()
    ]


def select(results: Mapping[str, Any], **fields: str) -> list[dict[str, Any]]:
    """The rows with these values, such as `select(results, task="cosqa", metric="mrr")`."""
    return [row for row in results["rows"] if all(row[field] == value for field, value in fields.items())]


def value_of(
    results: Mapping[str, Any], model: str, task: str, metric: str, protocol: str = "full", part: str = ALL
) -> float:
    """One figure in percent.

    Raises:
        KeyError: it was not measured.
    """
    rows = select(results, model=model, task=task, metric=metric, protocol=protocol, part=part)
    if not rows:
        raise KeyError(f"{metric} of {model} on {task} ({protocol}, {part}) was not measured")
    return float(rows[0]["value"])


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write the record, a row to a line, so that it can be read and compared by people, too."""
    lines = []
    for field, value in results.items():
        if isinstance(value, list):
            body = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f"{json.dumps(field)}: [\n{body}\n ]" if value else f"{json.dumps(field)}: []")
        else:
            lines.append(f"{json.dumps(field)}: {json.dumps(value, indent=1)}")
    path.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")


def metrics_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Rows of one model, task, protocol and part as a mapping from metric to value."""
    return {row["metric"]: row["value"] for row in rows}


def sizes(facts: Mapping[str, Any]) -> str:
    """How much a task has of what, in words."""
    kinds = ("queries", "documents", "train", "valid", "test")
    return ", ".join(f"{int(facts[kind]):,} {kind}" for kind in kinds if kind in facts)
