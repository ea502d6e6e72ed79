"""Results as Markdown, for people: a table for every task and protocol, one line a model."""

from collections.abc import Mapping
from typing import Any

from .results import ALL, SHOWN, metrics_of, select, sizes


def markdown(results: Mapping[str, Any]) -> str:
    """The tables of all tasks."""
    sections = [
        "# Results",
        "In percent. `results.json` beside this file has every figure, and what it was measured on.",
    ]
    for task, facts in results["tasks"].items():
        for protocol in dict.fromkeys(row["protocol"] for row in select(results, task=task)):
            sections += [f"## {task}, {protocol}", f"{sizes(facts)}.", _table(results, task, protocol)]
    return "\n\n".join(sections) + "\n"


def _table(results: Mapping[str, Any], task: str, protocol: str) -> str:
    lines: dict[str, dict[str, float]] = {}
    for model in results["models"]:
        if rows := select(results, model=model, task=task, protocol=protocol, part=ALL):
            lines[model] = metrics_of(rows)
    metrics = [metric for metric in SHOWN if any(metric in values for values in lines.values())]
    head = [f"| model | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    body = [
        f"| {model} | {' | '.join(f'{values[m]:.2f}' if m in values else '' for m in metrics)} |"
        for model, values in lines.items()
    ]
    return "\n".join(head + body)
