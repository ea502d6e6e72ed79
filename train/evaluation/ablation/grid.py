"""A recipe of an ablation as a grid: cells, each a chain of training stages, and the folders that the stages write.

Contract: `read_grid(path)` reads and checks a recipe (see docs/commands/ablate.md for its keys); `Grid.steps(cell,
seed, corpus, home)` gives the steps of a cell with their settings, in order: corpus sample, tokenizer, stages.

Invariant: a step's folder is named by its command and a hash of all that its result depends on: the settings that are
not the usual ones, its seed and the folders that it reads. Equal steps of any cells, or grids, have one folder, and
other steps never have it.

Importing this module loads neither torch nor transformers.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.config import ConfigError, make_config, merge, read_recipe
from ...corpus.sample import SampleConfig
from ...stages.configs import ContrastConfig, PretrainConfig, TokenizerConfig

RECIPES = Path(__file__).parents[2] / "recipes" / "ablations"

COMMANDS: dict[str, type[Any]] = {"pretrain": PretrainConfig, "contrast": ContrastConfig}
"""What a stage can be. A pretrain stage of 0 steps is the model as it is before training."""

OURS = {"corpus", "tokenizer", "output", "model", "init_from", "seed", "shards", "resume"}
"""Settings of a stage that the grid gives; `model` is one for contrast only."""

_NAME = re.compile(r"[A-Za-z0-9][\w .,%+@-]*")


@dataclass(frozen=True)
class Column:
    """A figure of the summary: the mean of some measured ones.

    Attributes:
        name: as the summary calls it.
        figures: set, protocol and metric of each.
    """

    name: str
    figures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Cell:
    """One training of the grid, to be done for every seed.

    Attributes:
        name: unique in the grid.
        stages: command and settings of every stage, in order.
        at: steps of the last stage after which the model is measured, too; 0 is before its first.
        series: what it belongs to in a plot over an axis; the cell's name if there is none.
        x: its place on that axis, or None.
    """

    name: str
    stages: tuple[tuple[str, dict[str, Any]], ...]
    at: tuple[int, ...]
    series: str
    x: str | None

    @property
    def slug(self) -> str:
        """The name, for files."""
        return re.sub(r"[^\w.@+-]+", "-", self.name)


@dataclass(frozen=True)
class Step:
    """A piece of work that writes one folder.

    Attributes:
        command: "sample", "tokenizer", or one of `COMMANDS`.
        config: its settings.
    """

    command: str
    config: Any

    @property
    def folder(self) -> Path:
        """What it writes."""
        return self.config.output


@dataclass(frozen=True)
class Grid:
    """A recipe that has been read.

    Attributes:
        path: where it stands.
        title: what it asks, for people.
        paper: name of the paper's table to set beside the figures, or None.
        seeds: one training of every cell for each.
        cells: in their order.
        columns: of the summary.
        measure: how models are measured: settings of `Measurer`.
        corpus: settings of the sample.
        tokenizer: settings of the tokenizer.
        axis: what the cells' `x` are, for people, or None.
    """

    path: Path
    title: str
    paper: str | None
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    columns: tuple[Column, ...]
    measure: dict[str, Any]
    corpus: dict[str, Any]
    tokenizer: dict[str, Any]
    axis: str | None

    def steps(self, cell: Cell, seed: int, corpus: Path, home: Path) -> list[Step]:
        """The steps of a cell.

        Args:
            cell: a cell of this grid.
            seed: seed of its stages; sample and tokenizer are the same for all.
            corpus: the whole corpus.
            home: folder in which the folders of steps lie.

        Raises:
            ConfigError: a setting that the command does not know, or of the wrong type.
        """
        where = f"{self.path}: "
        sample = make_config(SampleConfig, {"corpus": corpus, "output": ""} | self.corpus, where + "corpus")
        steps = [_step("sample", sample, home, origin=_fingerprint(corpus))]
        read = {"corpus": steps[0].folder}
        tokens = make_config(TokenizerConfig, read | {"output": ""} | self.tokenizer, where + "tokenizer")
        steps.append(_step("tokenizer", tokens, home))
        for number, (command, settings) in enumerate(cell.stages):
            before = steps[-1].folder if number else None
            given = read | {"output": "", "seed": seed} | settings
            if command == "pretrain":
                length = settings.get("max_length", PretrainConfig.max_length)
                given |= {"tokenizer": steps[1].folder, "shards": home / f"rows-{steps[1].folder.name}-{length}"}
                if before is not None:
                    given = {key: value for key, value in given.items() if key != "preset"} | {"init_from": before}
            else:
                given |= {"model": before}
            steps.append(_step(command, make_config(COMMANDS[command], given, f"{where}cell {cell.name}"), home))
        return steps


def read_grid(recipe: str) -> Grid:
    """Read and check a recipe.

    Args:
        recipe: a YAML file, or the name of a recipe that comes with the package.

    Raises:
        ConfigError: the recipe is not there, or not sound; the message names the place.
    """
    path = Path(recipe)
    if not path.suffix and not path.is_file():
        path = RECIPES / f"{recipe}.yaml"
        if not path.is_file():
            raise ConfigError(
                f"there is no recipe {recipe!r}: give a YAML file, or one of "
                + ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
            )
    content = read_recipe(path)
    known = {"title", "paper", "seeds", "corpus", "tokenizer", "stages", "cells", "axis", "measure"}
    if unknown := content.keys() - known:
        raise ConfigError(f"{path}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}")
    stages = _mapping(content, "stages", path)
    cells = _cells(_list(content, "cells", path), stages, path)
    axis = _mapping(content, "axis", path) if content.get("axis") else {}
    if axis:
        cells = _along(cells, _list(axis, "points", path), path)
    chains = tuple(_cell(cell, stages, path) for cell in cells)
    slugs = [cell.slug for cell in chains]
    if double := [cell.name for cell in chains if slugs.count(cell.slug) > 1]:
        raise ConfigError(f"{path}: two cells have the name {double[0]!r}: names must differ")
    seeds = content.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"{path}: seeds: expected a list of whole numbers, got {seeds!r}")
    measure = dict(_mapping(content, "measure", path))
    columns = _columns(measure.pop("columns", None), path)
    ways = {"max_length", "max_characters", "batch_size", "depth", "queries"}
    if unknown := measure.keys() - ways:
        raise ConfigError(f"{path}: measure: unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(ways))}")
    grid = Grid(
        path,
        str(content.get("title", path.stem)),
        content.get("paper"),
        tuple(seeds),
        chains,
        columns,
        measure,
        content.get("corpus") or {},
        content.get("tokenizer") or {},
        axis.get("name", "steps" if any(cell.at for cell in chains) else None),
    )
    for cell in chains:
        # Unknown settings are found before hours of work.
        grid.steps(cell, 0, Path(), Path())
    return grid


def _cells(cells: Sequence[Any], stages: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """The cells with what they take over from those that they are like."""
    complete: dict[str, dict[str, Any]] = {}
    for number, cell in enumerate(cells):
        if not isinstance(cell, dict) or not isinstance(cell.get("name"), str) or not _NAME.fullmatch(cell["name"]):
            raise ConfigError(f"{path}: cell {number}: needs a name of letters, digits, spaces and .,%+@-")
        name = cell["name"]
        known = {"name", "like", "chain", "at", "series", *stages}
        if unknown := cell.keys() - known:
            raise ConfigError(f"{path}: cell {name!r}: there is no stage {sorted(unknown)[0]!r} in stages")
        if name in complete:
            raise ConfigError(f"{path}: two cells have the name {name!r}: names must differ")
        like = cell.get("like")
        if like is not None and like not in complete:
            raise ConfigError(f"{path}: cell {name!r} is like {like!r}, but no cell before it has that name")
        complete[name] = merge(complete[like] if like else {}, {k: v for k, v in cell.items() if k != "like"})
    return list(complete.values())


def _along(cells: list[dict[str, Any]], points: Sequence[Any], path: Path) -> list[dict[str, Any]]:
    """Every cell at every point of the axis; the points of a cell follow one another."""
    for point in points:
        if not isinstance(point, dict) or "name" not in point:
            raise ConfigError(f"{path}: axis: every point needs a name and what it changes in the stages")
    return [
        merge(cell, {k: v for k, v in point.items() if k != "name"})
        | {"name": f"{cell['name']} @{point['name']}", "series": cell["name"], "x": str(point["name"])}
        for cell in cells
        for point in points
    ]


def _cell(cell: Mapping[str, Any], stages: Mapping[str, Any], path: Path) -> Cell:
    where = f"{path}: cell {cell['name']!r}"
    chain = cell.get("chain")
    if not isinstance(chain, list) or not chain:
        raise ConfigError(f"{where} needs a chain: the list of its stages, in order")
    resolved = []
    for place, name in enumerate(chain):
        if name not in stages:
            raise ConfigError(f"{where}: there is no stage {name!r} in stages; known: {', '.join(stages)}")
        settings = merge(stages[name] or {}, cell.get(name) or {})
        command = settings.pop("command", None)
        if command not in COMMANDS:
            raise ConfigError(f"{path}: stage {name!r}: its command is {command!r}; known: {', '.join(COMMANDS)}")
        if command == "contrast" and not place:
            raise ConfigError(
                f"{where} begins with contrast: put a pretrain stage before it, of 0 steps for an untrained encoder"
            )
        if taken := sorted(settings.keys() & (OURS - ({"model"} if command == "pretrain" else set()))):
            raise ConfigError(f"{where}: {name}: {taken[0]} is given by the grid")
        resolved.append((command, settings))
    at = tuple(cell.get("at") or ())
    if at:
        command, settings = resolved[-1]
        last = settings.get("steps")
        if command != "contrast" or not isinstance(last, int) or not all(0 <= step <= last for step in at):
            raise ConfigError(f"{where}: at needs a last stage of contrast with at least so many steps")
        resolved[-1] = (
            command,
            merge(settings, {"save_steps": math.gcd(*at, last), "trainer": {"save_total_limit": None}}),
        )
    return Cell(cell["name"], tuple(resolved), at, str(cell.get("series", cell["name"])), cell.get("x"))


def _columns(content: Any, path: Path) -> tuple[Column, ...]:
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path}: measure: columns names nothing to measure: give sets, by column")
    columns = []
    for name, figures in content.items():
        parts = [tuple(str(figure).split()) for figure in (figures if isinstance(figures, list) else [figures])]
        if not parts or any(len(part) != 3 for part in parts):
            raise ConfigError(f"{path}: column {name!r}: write each figure as `set protocol metric`")
        columns.append(Column(str(name), tuple((a, b, c) for a, b, c in parts)))
    return tuple(columns)


def _step(command: str, config: Any, home: Path, origin: str = "") -> Step:
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    settings = {
        key: value.name if isinstance(value, Path) else value
        for key, value in dataclasses.asdict(config).items()
        if key != "output" and value != usual[key]
    }
    text = json.dumps([command, origin or None, settings], sort_keys=True, default=str)
    output = home / f"{command}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Step(command, dataclasses.replace(config, output=output))


def _fingerprint(corpus: Path) -> str:
    """Tell corpora apart without reading them: their held-out units, and the sizes of their parts."""
    held_out = corpus / "held_out.json"
    parts = sorted((*corpus.glob("files/*.parquet"), *corpus.glob("functions/*.parquet")))
    sizes = [(part.parent.name, part.name, part.stat().st_size) for part in parts]
    units = held_out.read_text(encoding="utf-8") if held_out.is_file() else ""
    return hashlib.sha256(repr((units, sizes)).encode()).hexdigest()[:12]


def _mapping(content: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {key}: expected a mapping, got {value!r}")
    return value


def _list(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{path}: {key}: expected a list, got {value!r}")
    return value


Job = tuple[int, Cell, int]
"""Number, cell and seed."""


def cell_file(output: Path, cell: Cell, seed: int) -> Path:
    """Where the figures of a cell lie."""
    return output / "cells" / f"{cell.slug}.seed{seed}.json"
