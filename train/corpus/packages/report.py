"""The report of a corpus for its readers: tables, plots, and pairs to read.

Contract: `write_report` reads a corpus folder with its `report.json` and writes `report.md`, `pairs.md` with twenty
pairs of every language, and the plots beside them. Every figure comes from the folder.

Invariant: the same corpus gives the same text; which pairs and files are drawn depends on their paths only.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.source import Unparsable

from ...common.markdown import cell, table
from ...common.plotting import pyplot, save
from ...common.randomness import draw
from .similarity import tokens

PAIRS = 20
_SAMPLED_FILES = 200
_LINES_OF_CODE = 14
_LENGTHS = {
    "summary_words": "words in a summary",
    "function_lines": "lines in a function",
    "file_bytes": "bytes in a file",
}

_RANGES = {"summary_words": (3, 128), "function_lines": (2, 512), "file_bytes": (64, 250_000)}


def write_report(folder: Path) -> None:
    """Write `report.md`, `pairs.md` and the plots into a corpus folder; complete `report.json` with what they show."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for language, counts in report["languages"].items():
        counts["identifier_share"] = _identifier_share(folder, language)
        counts["lengths"] = {name: _quantiles(_lengths(folder, language, name)) for name in _LENGTHS}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _plot(folder, report["languages"])
    (folder / "report.md").write_text("\n".join(_text(report)) + "\n", encoding="utf-8")
    (folder / "pairs.md").write_text("\n".join(_pairs(folder, report["languages"])) + "\n", encoding="utf-8")


def _text(report: Mapping[str, Any]) -> Iterator[str]:
    languages: dict[str, dict[str, Any]] = report["languages"]
    packages = report["packages"]
    held_out = report["held_out"]
    total = {name: sum(counts[name] for counts in languages.values()) for name in ("files", "bytes", "pairs")}
    yield "# Corpus report"
    yield ""
    yield (
        f"{total['files']:,} files ({total['bytes'] / 1e6:,.0f} MB) and {total['pairs']:,} pairs of a summary and a "
        f"function in {len(languages)} languages, out of {len({r['unit'] for r in packages['records']})} packages. "
        f"{held_out['units']} packages with {held_out['pairs']:,} pairs are held out."
    )
    yield ""
    yield f"Settings: `{json.dumps(report['settings'])}`."
    yield ""
    yield "## Languages"
    yield ""
    yield from table(
        ["language", "packages", "files", "MB", "tokens (words and signs)", "identifiers", "functions", "documented",
         "pairs", "held out"],
        [
            [name, c["packages"], c["files"], f"{c['bytes'] / 1e6:,.1f}", c["tokens"], f"{c['identifier_share']:.1%}",
             c["functions"], c["documented"], c["pairs"], c["held_out"]]
            for name, c in languages.items()
        ],
    )  # fmt: skip
    yield ""
    yield (
        f"The share of tokens that are identifiers is that of {_SAMPLED_FILES} files of a language. Functions, and "
        "those with documentation, are counted in the files that stayed and in those that went for other code in them."
    )
    yield ""
    yield "![Megabytes and pairs by language](sizes.png)"
    yield ""
    yield "## What was left out"
    yield ""
    yield "Files, by reason:"
    yield ""
    yield from _reasons(languages, "skipped")
    yield ""
    yield "Documented functions of the files that stayed, by reason:"
    yield ""
    yield from _reasons({name: {"removed": _removed(c)} for name, c in languages.items()}, "removed")
    yield ""
    yield "Files that stayed without a syntax tree, by reason:"
    yield ""
    yield from _reasons(languages, "unparsable")
    yield ""
    if all("unread" in counts for counts in languages.values()):  # not in reports of before
        yield "What the parser could not read of the files that stayed:"
        yield ""
        yield from table(
            ["language", "regions", "kB", "share of the text"],
            [
                [name, c["unread"], f"{c['unread_bytes'] / 1e3:.1f}", f"{c['unread_bytes'] / max(1, c['bytes']):.2%}"]
                for name, c in languages.items()
            ],
        )
        yield ""
    yield "What was cut out of the files that stayed:"
    yield ""
    yield from table(
        ["language", "files with a licence header", "e-mail addresses"],
        [[name, c["headers"], c["addresses"]] for name, c in languages.items()],
    )
    yield ""
    yield "![What became of files and of documented functions](filters.png)"
    yield ""
    yield "## Lengths"
    yield ""
    yield from table(
        ["language", *(f"{title}: median (5 to 95 %)" for title in _LENGTHS.values())],
        [
            [name, *("{1:,.0f} ({0:,.0f} to {2:,.0f})".format(*c["lengths"][key]) for key in _LENGTHS)]
            for name, c in languages.items()
        ],
    )
    yield ""
    yield "![Lengths](lengths.png)"
    yield ""
    yield "## Packages"
    yield ""
    yield from table(
        ["package", "version", "licence", "language", "files", "MB", "pairs", "held out"],
        [
            [r["unit"], r["version"], r["licence"], r["language"], r["files"], f"{r['bytes'] / 1e6:.2f}", r["pairs"],
             "yes" if r["held_out"] else ""]
            for r in packages["records"]
        ],
    )  # fmt: skip
    for title, units in (
        ("Not of the selected licences", dict.fromkeys(packages["other_licence"], "")),
        ("Not downloaded", packages["missing"]),
        ("Downloaded, but without a file that stayed", packages["without_files"]),
    ):
        if units:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (f"- {unit}{f': {cell(reason)}' if reason else ''}" for unit, reason in units.items())


def _removed(counts: Mapping[str, Any]) -> dict[str, int]:
    """Why documented functions became no pairs."""
    return {
        **counts["rejected"],
        "duplicate": counts["duplicates"],
        "near_duplicate": counts["near_duplicates"],
        "contaminated": counts["contaminated"],
    }


def _reasons(languages: Mapping[str, Mapping[str, Any]], field: str) -> Iterator[str]:
    """A table of counts by reason and language."""
    reasons = sorted({reason for counts in languages.values() for reason in counts[field]})
    yield from table(
        ["reason", *languages],
        [[reason, *(counts[field].get(reason, 0) for counts in languages.values())] for reason in reasons],
    )


def _pairs(folder: Path, languages: Mapping[str, Any]) -> Iterator[str]:
    """Twenty pairs of each language, drawn by their paths and lines."""
    yield "# Pairs to read"
    for language in languages:
        table = _rows(folder, "functions", language, ["path", "start_line", "summary", "code", "licence", "version"])
        keys = zip(table["path"].to_pylist(), table["start_line"].to_pylist(), strict=True)
        chosen = sorted(range(table.num_rows), key=dict(enumerate(draw(f"{a}:{b}") for a, b in keys)).__getitem__)
        yield ""
        yield f"## {language}"
        for row in table.take(pa.array(sorted(chosen[:PAIRS]), pa.int64())).to_pylist():
            lines = row["code"].split("\n")
            shown = [line[:120] for line in lines[:_LINES_OF_CODE]]
            yield ""
            yield f"{row['path']}:{row['start_line']} ({row['version']}, {row['licence']})"
            yield ""
            yield f"> {cell(row['summary'])}"
            yield ""
            yield "````"
            yield from shown
            if len(lines) > len(shown):
                yield f"[{len(lines) - len(shown)} more lines]"
            yield "````"


def _rows(folder: Path, kind: str, language: str, columns: Sequence[str]) -> pa.Table:
    data = pyarrow.dataset.dataset(folder / kind, format="parquet")
    return data.to_table(columns=list(columns), filter=pyarrow.dataset.field("language") == language)


def _identifier_share(folder: Path, language: str) -> float:
    """Share of the words and signs of some files that are identifiers."""
    paths = _rows(folder, "files", language, ["path"])["path"].to_pylist()
    chosen = pa.array(sorted(paths, key=draw)[:_SAMPLED_FILES], pa.string())
    data = pyarrow.dataset.dataset(folder / "files", format="parquet")
    field = pyarrow.dataset.field
    texts = data.to_table(columns=["text"], filter=(field("language") == language) & field("path").isin(chosen))["text"]
    found = words = 0
    for text in texts.to_pylist():
        try:
            found += len(find_identifiers(text, language))
        except Unparsable:
            continue
        words += len(tokens(text))
    return round(found / max(words, 1), 4)


def _lengths(folder: Path, language: str, name: str) -> pa.ChunkedArray:
    if name == "file_bytes":
        return pc.binary_length(_rows(folder, "files", language, ["text"])["text"])
    if name == "summary_words":
        return pc.list_value_length(
            pc.utf8_split_whitespace(_rows(folder, "functions", language, ["summary"])["summary"])
        )
    return pc.add(pc.count_substring(_rows(folder, "functions", language, ["code"])["code"], "\n"), 1)


def _quantiles(values: pa.ChunkedArray) -> list[float]:
    return [
        round(value, 1) if value is not None else 0.0 for value in pc.quantile(values, q=[0.05, 0.5, 0.95]).to_pylist()
    ]


def _plot(folder: Path, languages: Mapping[str, Mapping[str, Any]]) -> None:
    import numpy as np

    plt = pyplot()
    names = list(languages)
    places = np.arange(len(names))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    left.barh(places, [counts["bytes"] / 1e6 for counts in languages.values()], color="#4477aa")
    left.set_xlabel("megabytes of files")
    training = [counts["pairs"] - counts["held_out"] for counts in languages.values()]
    right.barh(places, training, color="#4477aa", label="training")
    right.barh(places, [c["held_out"] for c in languages.values()], left=training, color="#ee6677", label="held out")
    right.set_xlabel("pairs")
    right.legend()
    for axes in (left, right):
        axes.set_yticks(places, names)
        axes.invert_yaxis()
    save(figure, folder / "sizes.png")

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _stack(left, {name: {"stays": c["files"], **c["skipped"]} for name, c in languages.items()}, "files")
    _stack(right, {name: {"stays": c["pairs"], **_removed(c)} for name, c in languages.items()}, "documented functions")
    save(figure, folder / "filters.png")

    figure, axes = plt.subplots(1, len(_LENGTHS), figsize=(13, 3.8), layout="constrained")
    for plot, (key, title) in zip(axes, _LENGTHS.items(), strict=True):
        for number, name in enumerate(languages):
            values = _lengths(folder, name, key).to_numpy()
            bins = np.unique(np.rint(np.geomspace(*_RANGES[key], 24)))
            heights = np.histogram(values, bins)[0] / np.log(bins[1:] / bins[:-1]) / max(len(values), 1)
            plot.plot(np.sqrt(bins[1:] * bins[:-1]), heights, color=f"C{number}", label=name)
        plot.set_xscale("log")
        plot.set_xlabel(title)
        plot.set_ylabel("density over the logarithm")
    axes[-1].legend(fontsize="small")
    save(figure, folder / "lengths.png")


def _stack(axes: Any, counts: Mapping[str, Mapping[str, int]], title: str) -> None:
    """Bars of a language's reasons, as shares; what is seldom goes together."""
    from matplotlib import colormaps

    total: Counter[str] = Counter()
    for reasons in counts.values():
        total.update(reasons)
    shown = ["stays", *(reason for reason, _ in total.most_common() if reason != "stays")][:11]
    left = [0.0] * len(counts)
    for number, reason in enumerate([*shown, "other"]):
        shares = []
        for reasons in counts.values():
            rest = sum(value for name, value in reasons.items() if name not in shown)
            shares.append((rest if reason == "other" else reasons.get(reason, 0)) / max(sum(reasons.values()), 1))
        axes.barh(list(counts), shares, left=left, color=colormaps["tab20"](number), label=reason)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.set_xlabel(f"share of {title}")
    axes.invert_yaxis()
    axes.legend(fontsize="x-small", bbox_to_anchor=(1, 1))
