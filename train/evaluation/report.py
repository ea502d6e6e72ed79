"""Results as Markdown, for people: tables by task and protocol, published figures beside measured ones.

Invariant: a published figure is shown only where protocol, metric and sizes are the same (see `published.py`), and in
italics; everything else was measured in this run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..common.markdown import table
from ..retrieval.task import ALL
from .paper_figures import published
from .results import PROTOCOLS, SHOWN, metrics_of, select, sizes

MOST_PARTS = 12
"""A protocol of more parts gets no table of its parts: they are in results.json and in the heat maps."""


def markdown(results: Mapping[str, Any]) -> str:
    """The tables of all tasks."""
    sections = ["# Results", "In percent. `results.json` beside this file has every figure and what it depends on."]
    for task, facts in results["tasks"].items():
        sections.append(f"## {task}")
        if facts["layout"] == "classification":
            sections += [f"{sizes(facts)} rows, {facts['classes']} classes.", _classes(results, task)]
            continue
        if counts := sizes(facts):
            sections.append(f"{counts}.")
        for protocol in dict.fromkeys(row["protocol"] for row in select(results, task=task)):
            sections += [f"### {task}, {protocol}", f"{PROTOCOLS.get(protocol, protocol).capitalize()}."]
            sections += _search(results, task, protocol)
        sections += _shown_to(results, task)
    return "\n\n".join(sections) + "\n"


def _search(results: Mapping[str, Any], task: str, protocol: str) -> list[str]:
    """A table of all metrics of the mean, and one of the parts by the metric that the task is measured by."""
    lines = {
        model: metrics_of(select(results, model=model, task=task, protocol=protocol, part=ALL))
        for model in results["models"]
    }
    lines = {model: values for model, values in lines.items() if values}
    metrics = [metric for metric in SHOWN if any(metric in values for values in lines.values())]
    for model, values in published_beside(results, task, protocol, ALL, metrics).items():
        lines[f"*{model}, published*"] = values
    tables = [_table(metrics, lines)]
    parts = [
        part
        for part in dict.fromkeys(row["part"] for row in select(results, task=task, protocol=protocol))
        if part != ALL
    ]
    main = "map" if results["tasks"][task].get("kind") == "code2code" else "mrr"
    if 1 < len(parts) <= MOST_PARTS and main in metrics:
        rows = select(results, task=task, protocol=protocol, metric=main)
        by_part: dict[str, dict[str, float]] = {}
        for row in rows:
            if row["part"] != ALL:
                by_part.setdefault(row["model"], {})[row["part"]] = row["value"]
        for part in parts:
            for model, values in published_beside(results, task, protocol, part, (main,)).items():
                by_part.setdefault(f"*{model}, published*", {})[part] = values[main]
        tables += [f"{main} by part:", _table(parts, by_part)]
    return tables


def published_beside(
    results: Mapping[str, Any], task: str, protocol: str, part: str, metrics: Iterable[str]
) -> dict[str, dict[str, float]]:
    """Published figures by model and metric; none where the record's protocol is not theirs."""
    counts = results["tasks"][task].get("parts", {}).get(protocol, {}).get(part)
    if counts is None:
        return {}
    removed = any(run.get("comments_removed") for run in results["runs"] if run["task"] == task)
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        figures = published(task, protocol, part, metric, (counts["queries"], counts["documents"]), removed)
        for model, value in figures.items():
            found.setdefault(model, {})[metric] = value
    return found


def _shown_to(results: Mapping[str, Any], task: str) -> list[str]:
    """How much of the texts each model was shown."""
    lines = []
    for run in results["runs"]:
        if run["task"] == task and "documents_cut" in run:
            limits = [str(run[f"{side}_max_length"] or "all") for side in ("query", "document")]
            lines.append(
                f"- {run['model']}: {limits[0]} tokens of queries ({run['queries_cut']:,} cut), "
                f"{limits[1]} of documents ({run['documents_cut']:,} cut)"
            )
    return ["What models were shown:", "\n".join(lines)] if lines else []


def _classes(results: Mapping[str, Any], task: str) -> str:
    """One line for every model and way of learning; with the standard deviation over seeds, where there are several."""
    lines: dict[str, dict[str, str]] = {}
    metrics = ("macro_f1", "accuracy")
    for row in select(results, task=task, part=ALL):
        label = f"{row['model']}, {PROTOCOLS.get(row['protocol'], row['protocol'])}"
        if row["metric"] in metrics:
            values = metrics_of(select(results, task=task, part=ALL, model=row["model"], protocol=row["protocol"]))
            deviation = values.get(f"{row['metric']} sd")
            spread = "" if deviation is None else f" ± {deviation:.2f}"
            lines.setdefault(label, {})[row["metric"]] = f"{row['value']:.2f}{spread}"
    return _table(metrics, lines)


def _table(columns: Sequence[str], lines: Mapping[str, Mapping[str, float | str]]) -> str:
    rows = []
    for label, values in lines.items():
        cells = [values.get(column) for column in columns]
        rows.append([label, *(f"{cell:.2f}" if isinstance(cell, float | int) else cell for cell in cells)])
    return "\n".join(table(["model", *columns], rows))
