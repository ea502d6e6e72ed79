"""The work of a grid: steps that several cells share, done once, and the figures of a cell.

Contract: `run_step(step)` makes the step's folder, named by a hash of its settings, unless it exists; `run_cell` does
the steps of a cell, measures its model and writes `<cell>.seed<seed>.json`, with what the figures depend on. Either may
be killed at any time, and done again: finished steps stay, and a training resumes from its newest checkpoint.

Invariant: of several processes that want the same step, on machines that share a file system, one does it and the
others wait.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...common.console import say
from ...common.output import owned, run_folder, write_json
from ...corpus import sample
from ...stages import contrast, pretrain, tokenizer
from .grid import Cell, Grid, Step
from .measure import Measurer, fingerprint


def run_step(step: Step, keep_checkpoints: bool = False) -> None:
    """Do a step unless its folder is there; checkpoints of a finished training go, unless they are to be measured."""
    with owned(step.folder, wait=True):
        if step.folder.is_dir():
            return
        say(f"[{step.folder.name}] started")
        begin = time.perf_counter()
        _action(step)(step.config)
        if not keep_checkpoints:
            shutil.rmtree(run_folder(step.folder), ignore_errors=True)
        say(f"[{step.folder.name}] finished in {time.perf_counter() - begin:.0f} s")


def run_cell(
    grid: Grid, cell: Cell, seed: int, corpus: Path, tasks: Path, home: Path, file: Path, measurer: Measurer
) -> None:
    """Train a cell and measure it, unless `file` has its figures."""
    steps = grid.steps(cell, seed, corpus, home)
    identity = cell_identity(grid, cell, steps, tasks)
    if finished(file, identity):
        say(f"[{cell.name}, seed {seed}] is finished")
        return
    begin = time.perf_counter()
    for step in steps:
        run_step(step, keep_checkpoints=bool(cell.at) and step is steps[-1])
    trained = time.perf_counter()
    last = steps[-1].folder
    models = {None: last} if not cell.at else {step: _after(steps, step) for step in cell.at}
    rows = [{"step": step, **row} for step, model in models.items() for row in measurer.measure(model)]
    content: dict[str, Any] = {
        "cell": cell.name,
        "seed": seed,
        "identity": identity,
        "steps": [step.folder.name for step in steps],
        "seconds": {"training": trained - begin, "measuring": time.perf_counter() - trained},
        "training": _training(last),
        "rows": rows,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, content)
    spent = content["seconds"]
    say(f"[{cell.name}, seed {seed}] trained in {spent['training']:.0f} s, measured in {spent['measuring']:.0f} s")


def cell_identity(grid: Grid, cell: Cell, steps: list[Step], tasks: Path) -> str:
    """A hash of all that the figures of a cell depend on."""
    figures = sorted(figure for column in grid.columns for figure in column.figures)
    sets = fingerprint(tasks, [name for name, _, _ in figures])
    what = [[step.folder.name for step in steps], cell.at, sorted({f[:2] for f in figures}), grid.measure, sets]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def finished(file: Path, identity: str | None = None) -> bool:
    """Say whether a cell's figures are there, and are those of this identity if one is given."""
    if not file.is_file():
        return False
    content = json.loads(file.read_text(encoding="utf-8"))
    return identity is None or content["identity"] == identity


def _action(step: Step) -> Callable[[Any], Any]:
    modules: dict[str, Any] = {"sample": sample, "tokenizer": tokenizer, "pretrain": pretrain, "contrast": contrast}
    return modules[step.command].main


def _after(steps: list[Step], step: int) -> Path:
    """The model after some steps of the last stage."""
    last = steps[-1]
    if step == 0:
        return steps[-2].folder
    return last.folder if step == last.config.steps else run_folder(last.folder) / f"checkpoint-{step}"


def _training(model: Path) -> dict[str, Any]:
    """What the record of a training says of its size and course."""
    record = model / "training.json"
    if not record.is_file():
        return {}
    content = json.loads(record.read_text(encoding="utf-8"))
    return {key: content.get(key) for key in ("parameters", "tokens", "seconds", "steps", "collapse") if key in content}
