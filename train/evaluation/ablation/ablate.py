"""Ablations as one command: a grid of trainings, measured, and summed up beside the paper's figures.

Contract: `main(config)` does the cells of a recipe for every seed, one after the other; with `cell` or `part` only
some, for array jobs that share the output folder. Every cell's figures lie in `OUTPUT/cells`, the folders of its steps
in `OUTPUT/steps`, and `OUTPUT/summary.json`, `summary.md` and plots sum up whatever is finished, and say what is
missing. Started again, the command resumes where it was.

Invariants: the parts I/N together are the grid, each cell in exactly one. No training sees an evaluation set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

from ...common.checks import require_range
from ...common.console import say
from .grid import Grid, Job, cell_file, read_grid


@dataclass(frozen=True)
class AblateConfig:
    """Train a grid of small models that differ in what a recipe says, measure them, and sum the figures up.

    Attributes:
        recipe: a YAML file, or the name of a recipe of the package: masking, hardness, modality, stages.
        output: folder for figures, summary and plots; an earlier start with the same recipe is continued.
        corpus: folder written by extract or corpus, from which all cells learn.
        tasks: folder of evaluation sets, each in a folder of its own.
        steps: folder for the models, which several grids may share; OUTPUT/steps if not given.
        seeds: seeds to train with, in place of the recipe's.
        cell: do only the cell of this number, as list counts them, from 0.
        part: do only a part of the cells, I/N: the I-th of N, from 1.
        list: list the cells with their numbers and what is finished, and do nothing.
        summary: sum up what is finished, and do nothing else.
    """

    positional: ClassVar[tuple[str, ...]] = ("recipe",)

    recipe: str
    output: Path
    corpus: Path | None = None
    tasks: Path | None = None
    steps: Path | None = None
    seeds: tuple[int, ...] = ()
    cell: int | None = None
    part: str | None = None
    list: bool = False
    summary: bool = False

    def __post_init__(self) -> None:
        require_range(self, "cell", at_least=0)
        if self.cell is not None and self.part is not None:
            raise ValueError("give either cell or part")
        if self.part is not None:
            index, _, parts = self.part.partition("/")
            if not (index.isdigit() and parts.isdigit() and 1 <= int(index) <= int(parts)):
                raise ValueError(f"part is {self.part!r}: give I/N, the I-th of N parts, from 1")
        if not (self.list or self.summary):
            if self.corpus is None:
                raise ValueError("missing --corpus: a folder written by extract")
            if self.tasks is None:
                raise ValueError("missing --tasks: the folder of evaluation sets")


def main(config: AblateConfig) -> Path:
    """Do what is left of a grid, and sum it up.

    Returns:
        The output folder.

    Raises:
        ValueError: the recipe, a part, a set or the corpus cannot be used; the message says what to do.
    """
    grid = read_grid(config.recipe)
    everything = jobs(grid, config.seeds or grid.seeds)
    chosen = choose(everything, config.cell, config.part)
    if config.list:
        for number, cell, seed in everything:
            state = "finished" if cell_file(config.output, cell, seed).is_file() else "missing"
            say(f"{number:4d}  {cell.name}, seed {seed}: {state}" + " *" * ((number, cell, seed) in chosen))
        return config.output
    if not config.summary:
        _train(config, grid, chosen)

    from .summary import write_summary

    write_summary(grid, everything, config.output)
    return config.output


def jobs(grid: Grid, seeds: tuple[int, ...]) -> list[Job]:
    """All cells for all seeds, numbered; the first seed's cells come first, so that a part of a grid is of use."""
    return [(number, cell, seed) for number, (seed, cell) in enumerate((s, c) for s in seeds for c in grid.cells)]


def choose(everything: list[Job], cell: int | None, part: str | None) -> list[Job]:
    """Those that this process is to do.

    Raises:
        ValueError: there is no such cell.
    """
    if cell is not None:
        if not 0 <= cell < len(everything):
            raise ValueError(f"cell is {cell}: give a number from 0 to {len(everything) - 1}, as --list shows them")
        return [everything[cell]]
    if part is None:
        return everything
    index, _, parts = part.partition("/")
    return everything[int(index) - 1 :: int(parts)]


def _train(config: AblateConfig, grid: Grid, chosen: list[Job]) -> None:
    from .measure import Measurer
    from .run import run_cell

    corpus, tasks = cast(Path, config.corpus), cast(Path, config.tasks)  # Required of every config that trains.
    wanted = [(name, protocol) for column in grid.columns for name, protocol, _ in column.figures]
    measurer = Measurer(tasks, wanted, **grid.measure)
    home = config.steps or config.output / "steps"
    for _, cell, seed in chosen:
        file = cell_file(config.output, cell, seed)
        run_cell(grid, cell, seed, corpus, tasks, home, file, measurer)
