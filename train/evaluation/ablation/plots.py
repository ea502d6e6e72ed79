"""Plots of a summary: bars with the seeds' own figures, or lines over an axis, with the paper's figures in a row below.

Contract: `write_plots(summary, output)` writes `<output>/summary.png`, or says what to install. The paper's models are
a hundred times larger, so their figures have scales of their own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...common.console import say
from ...common.plotting import pyplot, save


def write_plots(summary: Mapping[str, Any], output: Path) -> None:
    """Draw a panel for each column, ours above the paper's."""
    if not summary["rows"]:
        return
    try:
        plt = pyplot()
    except ValueError as error:
        say(f"no plot: {error}")
        return
    columns = summary["columns"]
    rows = 2 if summary["paper"] else 1
    lines = summary["axis"] is not None
    figure, panels = plt.subplots(
        rows, len(columns), figsize=(4 * len(columns), 3.6 * rows), squeeze=False, layout="constrained"
    )
    for panel, column in zip(panels[0], columns, strict=True):
        (_lines if lines else _bars)(panel, summary["rows"], column)
        panel.set_title(column, fontsize=10)
        if lines:
            panel.set_xlabel(summary["axis"])
    panels[0][0].set_ylabel("ours, %")
    if lines:
        panels[0][0].legend(fontsize=7)
    if summary["paper"]:
        for panel, column in zip(panels[1], columns, strict=True):
            _paper(panel, summary["paper"]["rows"], column)
        panels[1][0].set_ylabel("paper, %")
    save(figure, output / "summary.png", dpi=80)


def _bars(panel: Any, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """A bar a cell, its sd, and a dot a seed."""
    figures = [row["figures"][column] for row in rows]
    places = range(len(rows))
    panel.barh(places, [f["mean"] for f in figures], xerr=[f["sd"] or 0 for f in figures], color="#9ecae1", capsize=2)
    for place, figure in zip(places, figures, strict=True):
        panel.plot(list(figure["values"].values()), [place] * len(figure["values"]), "k.", markersize=3)
    first = panel.get_subplotspec().is_first_col()
    panel.set_yticks(places, [row["cell"] if first else "" for row in rows], fontsize=8)
    panel.invert_yaxis()
    everything = [value for figure in figures for value in figure["values"].values()]
    # From below the lowest, so that differences can be seen.
    margin = 0.2 * (max(everything) - min(everything)) or 1.0
    panel.set_xlim(max(0.0, min(everything) - 2 * margin), max(everything) + margin)


def _lines(panel: Any, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """A line a series, over the axis, with the sd."""
    xs = list(dict.fromkeys(row["x"] for row in rows))
    for series in dict.fromkeys(row["series"] for row in rows):
        own = [row for row in rows if row["series"] == series]
        figures = [row["figures"][column] for row in own]
        places = [xs.index(row["x"]) for row in own]
        panel.errorbar(
            places,
            [f["mean"] for f in figures],
            yerr=[f["sd"] or 0 for f in figures],
            marker="o",
            markersize=3,
            capsize=2,
            label=series,
        )
    panel.set_xticks(range(len(xs)), [x or "" for x in xs])


def _paper(panel: Any, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """Lines over the paper's models, or over its steps."""
    own = [row for row in rows if column in row["figures"]]
    if not own:
        panel.set_axis_off()
        panel.text(0.5, 0.5, "no figures in the paper", ha="center", fontsize=8)
        return
    models = list(dict.fromkeys(str(row["model"]) for row in own))
    for cell in dict.fromkeys(row["cell"] for row in own):
        mine = [row for row in own if row["cell"] == cell]
        panel.plot(
            [models.index(str(row["model"])) for row in mine],
            [row["figures"][column] for row in mine],
            marker="o",
            markersize=3,
            label=cell,
        )
    panel.set_xticks(range(len(models)), models)
    panel.legend(fontsize=7)
