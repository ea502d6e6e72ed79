"""What a grid has found, finished or not: mean and standard deviation over seeds, beside the paper's figures.

Contract: `write_summary` reads the cells' figures and writes `summary.json` (every figure of every seed, means, sds and
what is missing), `summary.md` (tables) and plots.

Invariant: a mean is over the seeds that are there, and says how many; a cell without figures is named as missing.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ...common.console import say
from ...common.markdown import table
from ...common.output import write_json
from .grid import Column, Grid, Job, cell_file

PAPER = Path(__file__).with_name("paper.yaml")


def write_summary(grid: Grid, everything: Sequence[Job], output: Path) -> None:
    """Sum up the figures that are there."""
    summary = summarise(grid, everything, output)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "summary.json", summary)
    (output / "summary.md").write_text(as_markdown(summary), encoding="utf-8")

    from .plots import write_plots

    write_plots(summary, output)
    done = summary["finished"]
    say(f"ablate: {done} of {len(everything)} cells are finished -> {output / 'summary.md'}")


def summarise(grid: Grid, everything: Sequence[Job], output: Path) -> dict[str, Any]:
    """Read the cells' figures and take means.

    Returns:
        `title`, `axis`, `columns`, `seeds`, `finished` (cells times seeds), `missing` (their names), `paper` (the
        table to set beside, or None), and `rows`: for every cell, and every step at which it was measured, `cell`,
        `series`, `x`, and `figures`: by column `mean`, `sd` (None of one seed) and `values` by seed, in percent.
    """
    rows: dict[tuple[str, int | None], dict[str, Any]] = {}
    missing = []
    for _, cell, seed in everything:
        file = cell_file(output, cell, seed)
        if not file.is_file():
            missing.append(f"{cell.name}, seed {seed}")
            continue
        content = json.loads(file.read_text(encoding="utf-8"))
        for step in dict.fromkeys(row["step"] for row in content["rows"]):
            x = cell.x if step is None else str(step)
            row = rows.setdefault(
                (cell.name, step), {"cell": cell.name, "series": cell.series, "x": x, "figures": {}, "training": {}}
            )
            measured = [found for found in content["rows"] if found["step"] == step]
            row["training"][str(seed)] = content["training"] | {"wall": content["seconds"]}
            for column in grid.columns:
                row["figures"].setdefault(column.name, {})[str(seed)] = _figure(column, measured, file)
    order = {cell.name: place for place, cell in enumerate(grid.cells)}
    for row in rows.values():
        row["figures"] = {name: _spread(values) for name, values in row["figures"].items()}
    return {
        "title": grid.title,
        "axis": grid.axis,
        "columns": [column.name for column in grid.columns],
        "measured": {column.name: [" ".join(figure) for figure in column.figures] for column in grid.columns},
        "seeds": sorted({seed for _, _, seed in everything}),
        "finished": len(everything) - len(missing),
        "missing": missing,
        "paper": papertable(grid.paper) if grid.paper else None,
        "rows": sorted(rows.values(), key=lambda row: order[row["cell"]]),
    }


def papertable(name: str) -> dict[str, Any] | None:
    """The paper's figures for a study, or None: `source`, and `rows` of `cell`, `model` and `figures`."""
    return yaml.safe_load(PAPER.read_text(encoding="utf-8")).get(name)


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as a page with tables."""
    lines = [f"# {summary['title']}", ""]
    if summary["missing"]:
        lines += [f"Missing, {len(summary['missing'])}: {'; '.join(summary['missing'])}.", ""]
    axis = [summary["axis"]] if summary["axis"] else []
    lines += table(
        [*(["cell"] if not axis else ["series", *axis]), "seeds", *summary["columns"]],
        [
            [
                *([row["cell"]] if not axis else [row["series"], row["x"] or ""]),
                str(max((len(figure["values"]) for figure in row["figures"].values()), default=0)),
                *(spread_text(row["figures"].get(column)) for column in summary["columns"]),
            ]
            for row in summary["rows"]
        ],
    )
    lines += ["", "Mean ± standard deviation over the seeds, in percent."]
    lines += [f"{name}: mean of {', '.join(sets)}." for name, sets in summary["measured"].items()]
    if paper := summary["paper"]:
        names = list(dict.fromkeys(name for row in paper["rows"] for name in row["figures"]))
        lines += ["", f"## The paper ({paper['source']})", ""]
        lines += table(
            ["cell", "model", *names],
            [
                [row["cell"], str(row["model"]), *(_plain(row["figures"].get(name)) for name in names)]
                for row in paper["rows"]
            ],
        )
    return "\n".join(lines) + "\n"


def spread_text(figure: Mapping[str, Any] | None) -> str:
    """Mean ± sd, in print."""
    if not figure or figure["mean"] is None:
        return ""
    return f"{figure['mean']:.1f}" + (f" ± {figure['sd']:.1f}" if figure["sd"] is not None else "")


def _figure(column: Column, measured: Sequence[Mapping[str, Any]], file: Path) -> float:
    """The mean of a column's figures in one cell."""
    values = {(row["set"], row["protocol"], row["metric"]): row["value"] for row in measured if row["part"] == "all"}
    if absent := [figure for figure in column.figures if figure not in values]:
        raise ValueError(f"{file} has no {' '.join(absent[0])}, which the recipe asks for: remove it, and run again")
    return statistics.fmean(values[figure] for figure in column.figures)


def _spread(values: Mapping[str, float]) -> dict[str, Any]:
    numbers = list(values.values())
    return {
        "mean": statistics.fmean(numbers),
        "sd": statistics.stdev(numbers) if len(numbers) > 1 else None,
        "values": dict(values),
    }


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
