"""Plots of a run of evaluate, from what its `results.json` holds.

Contract: `write(results, folder)` writes, as far as there are figures for them, and returns the files:
`languages-TASK.png` (bars: MRR, for code to code MAP, by language and model), `pairs-TASK.png` (heat maps of source and
target language, one a model), `cosines-TASK.png` (cosines of parallel against random pairs, a panel a model) and
`recall.png` (recall at growing depth, a panel for every task and protocol).

Invariant: a plot shows figures of the record and nothing else; what was not measured leaves a gap.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.plotting import pyplot, save
from ..retrieval.task import ALL
from .results import select, value_of

_RECALL = re.compile(r"recall@(\d+)")
_MARKERS = "osD^vPX*<>"
_PARALLEL, _RANDOM = "#4477aa", "#ee6677"


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the plots of a run.

    Args:
        results: what `results.json` holds, see `results.py`. Each of `cosines`, which may be missing, has `model`,
            `task`, `bins` (n + 1 edges), the counts `parallel` and `random` (n each), and the means of both,
            `parallel_mean` and `random_mean`, None where there are no such pairs.
        folder: where to write to; it exists.

    Returns:
        The files, in the order of the tasks.

    Raises:
        ValueError: matplotlib is not installed.
    """
    pyplot()  # found to be missing before anything is drawn
    written = []
    for task in results["tasks"]:
        for name, figure in (
            ("languages", _languages(results, task)),
            ("pairs", _pairs(results, task)),
            ("cosines", _cosines(results, task)),
        ):
            if figure is not None:
                written.append(save(figure, folder / f"{name}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', task)}.png"))
    if (figure := _recall(results)) is not None:
        written.append(save(figure, folder / "recall.png"))
    return written


def _metric(results: Mapping[str, Any], task: str) -> str:
    """What the paper measures: MAP for code to code, else MRR."""
    return "map" if results["tasks"][task].get("kind") == "code2code" else "mrr"


def _models(results: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The models that some rows are of, in the order of the record."""
    found = {row["model"] for row in rows}
    return [model for model in results["models"] if model in found]


def _parts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [part for part in dict.fromkeys(row["part"] for row in rows) if part != ALL]


def pairs_of(parts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Tell source and target language of parts such as `go-java`.

    Languages may have a hyphen themselves; they are known from the pairs of a language with itself.
    """
    known = {part[: len(part) // 2] for part in parts if part == "-".join([part[: len(part) // 2]] * 2)}

    def pair(part: str) -> tuple[str, str]:
        splits = [(part[: at.start()], part[at.end() :]) for at in re.finditer("-", part)]
        return max(splits, key=lambda sides: sum(side in known for side in sides))

    return {part: pair(part) for part in parts if "-" in part}


def _languages(results: Mapping[str, Any], task: str) -> Any:
    """Bars by language: parts of `same_language`, or targets of `pairwise` where all queries are of one language."""
    metric = _metric(results, task)
    rows = select(results, task=task, protocol="same_language", metric=metric)
    protocol, names = "same_language", {part: part for part in _parts(rows)}
    if not names:
        rows = select(results, task=task, protocol="pairwise", metric=metric)
        pairs = pairs_of(_parts(rows))
        protocol, names = "pairwise", {part: target for part, (_, target) in pairs.items()}
        if len({source for source, _ in pairs.values()}) > 1:
            # Within a language; the pairs across languages are in the heat map.
            protocol = "within a language"
            names = {part: source for part, (source, target) in pairs.items() if source == target}
    if not names:
        return None
    models = _models(results, rows)
    values = {(row["model"], row["part"]): row["value"] for row in rows}
    return _bars(
        {model: [values.get((model, part), np.nan) for part in names] for model in models},
        list(names.values()),
        f"{task}, {protocol}",
        f"{metric.upper()} in percent",
    )


def _bars(heights: Mapping[str, Sequence[float]], groups: Sequence[str], title: str, unit: str) -> Any:
    width = 0.84 / len(heights)
    size = (min(3 + 0.22 * len(groups) * (len(heights) + 1), 16), 4)
    figure, axes = pyplot().subplots(figsize=size, layout="constrained")
    places = np.arange(len(groups))
    for number, (model, values) in enumerate(heights.items()):
        left = places + (number - (len(heights) - 1) / 2) * width
        bars = axes.bar(left, values, width, color=_color(number), label=_short(model))
        if len(groups) * len(heights) <= 40:
            axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    axes.set_xticks(places, groups)
    axes.set_ylim(0, 100)
    axes.margins(x=0.01)
    axes.set_ylabel(unit)
    axes.set_title(title, fontsize="medium")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    _legend(figure, axes)
    return figure


def _pairs(results: Mapping[str, Any], task: str) -> Any:
    """Heat maps, if there are several languages on either side."""
    metric = _metric(results, task)
    rows = select(results, task=task, protocol="pairwise", metric=metric)
    pairs = pairs_of(_parts(rows))
    sources, targets = (list(dict.fromkeys(side)) for side in zip(*pairs.values(), strict=True)) if pairs else ([], [])
    if len(sources) < 2 or len(targets) < 2:
        return None
    models = _models(results, rows)
    size = 0.38 * max(len(sources), len(targets)) + 1.3
    figure, panels = _panels(len(models), (size, size))
    high = max(row["value"] for row in rows)
    for axes, model in zip(panels, models, strict=True):
        grid: npt.NDArray[np.float64] = np.full((len(sources), len(targets)), np.nan)
        for row in rows:
            if row["model"] == model and row["part"] in pairs:
                source, target = pairs[row["part"]]
                grid[sources.index(source), targets.index(target)] = row["value"]
        image = axes.imshow(grid, vmin=0, vmax=high, cmap="viridis")
        for (line, column), value in np.ndenumerate(grid):
            if not np.isnan(value):
                color = "white" if value < 0.6 * high else "black"
                axes.text(column, line, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
        axes.set_xticks(range(len(targets)), targets, rotation=45, ha="right", fontsize=7)
        axes.set_yticks(range(len(sources)), sources, fontsize=7)
        mean = value_of(results, model, task, metric, "pairwise")
        axes.set_title(f"{_short(model)}, mean {mean:.1f}", fontsize="small")
    figure.supylabel("language of the queries", fontsize="medium")
    figure.supxlabel("language of the documents", fontsize="medium")
    figure.colorbar(image, ax=panels, label=f"{metric.upper()} in percent", shrink=0.7)
    figure.suptitle(f"{task}, pairwise", fontsize="medium")
    return figure


def _recall(results: Mapping[str, Any]) -> Any:
    """One panel for every task and protocol."""
    rows = [row for row in results["rows"] if row["part"] == ALL and _RECALL.fullmatch(row["metric"])]
    shown = list(dict.fromkeys((row["task"], row["protocol"]) for row in rows))
    if not shown:
        return None
    figure, panels = _panels(len(shown), (3.6, 3), share={"sharey": True})
    models = _models(results, rows)
    ticks = sorted({int(row["metric"].removeprefix("recall@")) for row in rows})
    for axes, place in zip(panels, shown, strict=True):
        for number, model in enumerate(models):
            points = sorted(
                (int(row["metric"].removeprefix("recall@")), row["value"])
                for row in rows
                if row["model"] == model and (row["task"], row["protocol"]) == place
            )
            if points:
                depths, values = zip(*points, strict=True)
                marker = _MARKERS[number % len(_MARKERS)]
                axes.plot(depths, values, marker=marker, markersize=4, color=_color(number), label=_short(model))
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(depth) for depth in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, 102)
        axes.grid(alpha=0.3)
        axes.set_title(", ".join(place), fontsize="small")
        axes.set_xlabel("documents looked at", fontsize="small")
    panels[0].set_ylabel("recall in percent")
    _legend(figure, panels[0])
    return figure


def _cosines(results: Mapping[str, Any], task: str) -> Any:
    """A panel a model."""
    histograms = [entry for entry in results.get("cosines", ()) if entry["task"] == task]
    if not histograms:
        return None
    figure, panels = _panels(len(histograms), (3.4, 2.7), share={"sharex": True, "sharey": True})
    for axes, entry in zip(panels, histograms, strict=True):
        edges = np.asarray(entry["bins"], dtype=float)
        for kind, color in (("parallel", _PARALLEL), ("random", _RANDOM)):
            counts = np.asarray(entry[kind], dtype=float)
            share = counts / max(counts.sum(), 1)
            axes.stairs(100 * share, edges, fill=True, alpha=0.5, color=color, label=f"{kind} pairs")
            if (mean := entry[f"{kind}_mean"]) is not None:
                axes.axvline(mean, color=color, linewidth=1)
        means = entry["parallel_mean"], entry["random_mean"]
        apart = "" if None in means else f": means {means[0] - means[1]:.2f} apart"
        axes.set_title(f"{_short(entry['model'])}{apart}", fontsize="small")
        axes.set_xlabel("cosine", fontsize="small")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("percent of pairs")
    figure.suptitle(task, fontsize="medium")
    _legend(figure, panels[0])
    return figure


def _panels(count: int, size: tuple[float, float], share: Mapping[str, bool] | None = None) -> tuple[Any, list[Any]]:
    """Axes in rows of at most four."""
    columns = min(count, 4)
    lines = -(-count // columns)
    figure, grid = pyplot().subplots(
        lines,
        columns,
        figsize=(size[0] * columns + 0.4, size[1] * lines + 0.8),
        layout="constrained",
        squeeze=False,
        **(share or {}),
    )
    panels = list(grid.flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def _legend(figure: Any, axes: Any) -> None:
    """One legend below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    width = 0.08 * max(map(len, labels)) + 0.6  # of an entry, in inches
    columns = min(len(labels), max(int(figure.get_figwidth() / width), 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small")


def _color(number: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab10"](number % 10)


def _short(name: str) -> str:
    """A name that fits a legend; its end tells more than its beginning."""
    return name if len(name) <= 40 else f"…{name[-39:]}"
