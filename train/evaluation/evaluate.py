"""Measure models side by side on search and classification sets.

Contract: `main(config)` measures every model on every task and returns what `results.json` holds. Models are folders or
Hub ids for sentence-transformers or `AutoModel`, "bm25", or "bm25+MODEL", the fusion of both; tasks are what
`catalogue.find_tasks` knows.

Invariants: of the corpora of this package only held-out functions are used, so no training step of this package has
seen them. An interrupted run resumes where it was; the output is there whole, or not at all.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..common.config import deciding
from ..common.console import say
from ..common.identity import package_versions
from ..common.output import RESULTS, new_folder, owned, run_folder
from ..retrieval.task import ALL, Task
from . import plots
from .cache import Store
from .catalogue import describe, find_tasks
from .config import EvaluateConfig
from .expectation import compare
from .measure import measure
from .models import subjects
from .presets import with_preset
from .report import markdown
from .results import SCHEMA, SHOWN, read_results, rows_of, write_results

TABLES = "results.md"


def main(config: EvaluateConfig) -> dict[str, Any]:
    """Measure every model on every task.

    Returns:
        What `results.json` holds, see `results.py`.

    Raises:
        ValueError: a task or a model is missing or malformed, or the output is there already or being written by
            another process; nothing is written. Or figures differ from the expected ones; the output is written.
    """
    if config.output is not None and config.output.exists() and any(config.output.iterdir()):
        raise ValueError(f"{config.output} is already there: remove it, or choose another output folder")
    expected = {} if config.expected is None else read_results(config.expected)
    tasks = find_tasks(config.tasks, config.languages)
    if config.preset not in (None, "paper"):
        tasks = [with_preset(task, config.preset) if isinstance(task, Task) else task for task in tasks]
    facts = {task.name: describe(task) for task in tasks}
    rows: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    cosines: list[dict[str, Any]] = []
    with _working_folder(config) as folder:
        store = Store(folder)
        # A name that is no model is found out before anything is measured.
        measured = subjects(config.models, store, config.batch_size)
        for subject in measured:
            for task in tasks:
                found = measure(subject, task, facts[task.name], config, store)
                both = {"model": subject.name, "task": task.name}
                rows += rows_of(**both, figures=found["figures"])
                runs.append(both | found["facts"])
                if found["cosines"]:
                    cosines.append(both | found["cosines"])
                say(_summary(runs[-1], found["figures"]))
            subject.close()
        results = {
            "schema": SCHEMA,
            "models": {subject.name: subject.facts() for subject in measured},
            "tasks": facts,
            "rows": rows,
            "runs": runs,
            "cosines": cosines,
            "packages": package_versions(),
            "settings": deciding(config),
        }
        if config.output is not None:
            _write(results, config.output)
    if config.expected is not None:
        say(f"evaluate: {compare(results, expected, config.tolerance)}")
    return results


@contextlib.contextmanager
def _working_folder(config: EvaluateConfig) -> Iterator[Path]:
    """The cache, kept; or a folder beside the output, held, and removed in the end; or one that is always removed."""
    if config.cache is not None:
        yield config.cache
    elif config.output is not None:
        folder = run_folder(config.output)
        with owned(config.output):
            yield folder
            shutil.rmtree(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def _write(results: dict[str, Any], output: Path) -> None:
    with new_folder(output) as folder:
        write_results(results, folder / RESULTS)
        (folder / TABLES).write_text(markdown(results), encoding="utf-8")
        if find_spec("matplotlib"):
            plots.write(results, folder)
        else:
            say('evaluate: no plots, since matplotlib is not installed: pip install "open-codesage[corpus]"')


def _summary(run: dict[str, Any], figures: dict[str, Any]) -> str:
    shown = []
    for protocol, parts in figures.items():
        values = [f"{metric} {parts[ALL][metric]:.2f}" for metric in SHOWN if metric in parts[ALL]]
        shown.append(f"{protocol} {', '.join(values)}")
    cut = [f"{run[kind]:,} {kind.removesuffix('_cut')}" for kind in run if kind.endswith("_cut") and run[kind]]
    if cut:
        shown.append(f"{', '.join(cut)} were longer than their limit and cut")
    return f"evaluate {run['model']} on {run['task']}: {'; '.join(shown)}"
