"""Ablations: what a recipe's grid is, that its work is shared, resumed and summed up, and what is refused."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from open_codesage.train import cli
from open_codesage.train.common.config import ConfigError
from open_codesage.train.evaluation.ablation import plots, run
from open_codesage.train.evaluation.ablation.ablate import AblateConfig, choose, jobs, main
from open_codesage.train.evaluation.ablation.grid import RECIPES, cell_file, read_grid
from open_codesage.train.evaluation.ablation.summary import summarise

WRITE_PLOTS = plots.write_plots

RECIPE = {
    "title": "a grid",
    "seeds": [0, 1],
    "corpus": {"languages": ["python"]},
    "tokenizer": {"vocab_size": 300},
    "stages": {
        "stage1": {"command": "pretrain", "preset": "nano", "model": {"hidden_size": 32}, "steps": 4, "batch_size": 2},
        "stage2": {"command": "contrast", "steps": 6},
    },
    "cells": [
        {"name": "neither", "chain": ["stage1", "stage2"], "stage2": {"gamma": "none"}},
        {"name": "hard", "like": "neither", "stage2": {"gamma": "mean"}},
        {"name": "first", "chain": ["stage1"]},
    ],
    "measure": {"max_length": 16, "columns": {"search": ["words full mrr"], "classes": "kinds linear macro_f1"}},
}


def write_recipe(folder: Path, **changes) -> str:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
    return str(file)


class StandIn:
    """Steps that only write their settings, and a measurer whose figures follow from the model's folder."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.measured: list[str] = []
        self.fail_at: str | None = None
        for name in ("sample", "tokenizer", "pretrain", "contrast"):
            patch.setattr(run, name, SimpleNamespace(main=self.step))
        patch.setattr("open_codesage.train.evaluation.ablation.measure.Measurer", self.measurer)
        patch.setattr(plots, "write_plots", lambda *_: None)

    def step(self, config) -> None:
        name = config.output.name
        if self.fail_at is not None and name.startswith(self.fail_at):
            (config.output.parent / f"{name}.run").mkdir()
            raise KeyboardInterrupt
        self.done.append(name)
        config.output.mkdir()
        (config.output / "training.json").write_text(json.dumps({"parameters": 7, "settings": 0}))
        for step in range(0, (getattr(config, "steps", None) or 0) + 1, getattr(config, "save_steps", None) or 1):
            (config.output.parent / f"{name}.run" / f"checkpoint-{step}").mkdir(parents=True)

    def measurer(self, folder, wanted, **settings):
        assert {tuple(pair) for pair in wanted} == {("words", "full"), ("kinds", "linear")}

        def measure(model):
            assert model.is_dir()
            self.measured.append(model.name)
            value = sum(map(ord, str(model.name))) % 100
            keys = ("set", "protocol", "part", "metric", "value")
            rows = [("words", "full", "all", "mrr", value), ("kinds", "linear", "all", "macro_f1", 50.0)]
            return [dict(zip(keys, row, strict=True)) for row in [*rows, ("words", "full", "python", "mrr", 0.0)]]

        return SimpleNamespace(measure=measure)


@pytest.fixture
def stand_in(monkeypatch):
    return StandIn(monkeypatch)


def config(folder: Path, recipe: str, **more) -> AblateConfig:
    return AblateConfig(recipe, folder / "out", corpus=folder / "corpus", tasks=folder / "tasks", **more)


def figures(folder: Path) -> dict[str, list[dict]]:
    return {file.name: json.loads(file.read_text())["rows"] for file in sorted((folder / "out" / "cells").iterdir())}


def test_steps_that_cells_share_are_done_once(tmp_path, stand_in):
    main(config(tmp_path, write_recipe(tmp_path)))
    commands = [name.split("-")[0] for name in stand_in.done]
    # One Stage I for each seed serves three cells; sample and tokenizer serve both seeds.
    assert {name: commands.count(name) for name in set(commands)} == {
        "sample": 1, "tokenizer": 1, "pretrain": 2, "contrast": 4,
    }  # fmt: skip
    assert len(set(stand_in.done)) == len(stand_in.done)
    assert len(figures(tmp_path)) == 6
    assert not list((tmp_path / "out" / "steps").glob("*.run"))
    before = (len(stand_in.done), len(stand_in.measured))
    main(config(tmp_path, write_recipe(tmp_path)))
    assert (len(stand_in.done), len(stand_in.measured)) == before


def test_another_grid_takes_over_equal_steps_and_only_those(tmp_path, stand_in):
    steps = tmp_path / "steps"
    main(config(tmp_path, write_recipe(tmp_path), steps=steps))
    before = len(stand_in.done)
    cells = [*RECIPE["cells"], {"name": "slow", "like": "hard", "stage2": {"learning_rate": 1e-6}}]
    other = dataclasses.replace(config(tmp_path, write_recipe(tmp_path, cells=cells), steps=steps))
    main(dataclasses.replace(other, output=tmp_path / "other"))
    assert [name.split("-")[0] for name in stand_in.done[before:]] == ["contrast", "contrast"]


def test_a_grid_that_was_stopped_goes_on_where_it_was(tmp_path, stand_in):
    recipe = write_recipe(tmp_path)
    stand_in.fail_at = (
        read_grid(recipe).steps(read_grid(recipe).cells[1], 0, tmp_path / "corpus", Path())[-1].folder.name
    )
    with pytest.raises(KeyboardInterrupt):
        main(config(tmp_path, recipe))
    assert list(figures(tmp_path)) == ["neither.seed0.json"]
    done = list(stand_in.done)
    main(config(tmp_path, recipe, summary=True))
    partial = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (partial["finished"], len(partial["missing"]), partial["missing"][0]) == (1, 5, "hard, seed 0")
    stand_in.fail_at = None
    main(config(tmp_path, recipe))
    assert len(set(stand_in.done)) == len(stand_in.done)
    assert stand_in.done[: len(done)] == done
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["missing"] == []


def test_other_settings_of_measuring_measure_again_without_training(tmp_path, stand_in):
    main(config(tmp_path, write_recipe(tmp_path)))
    trained, measured = len(stand_in.done), len(stand_in.measured)
    main(config(tmp_path, write_recipe(tmp_path, measure={**RECIPE["measure"], "max_length": 8})))
    assert len(stand_in.done) == trained
    assert len(stand_in.measured) == 2 * measured


def test_a_summary_gives_mean_sd_and_the_number_of_seeds(tmp_path, stand_in):
    recipe = write_recipe(tmp_path)
    main(config(tmp_path, recipe))
    grid = read_grid(recipe)
    # Figures of which mean and sd are known by hand: 10 and 14 have 12 and the square root of 8.
    for cell, seed, value in (("hard", 0, 10.0), ("hard", 1, 14.0)):
        file = tmp_path / "out" / "cells" / f"{cell}.seed{seed}.json"
        content = json.loads(file.read_text())
        content["rows"][0]["value"] = value
        file.write_text(json.dumps(content))
    (tmp_path / "out" / "cells" / "first.seed1.json").unlink()
    summary = summarise(grid, jobs(grid, grid.seeds), tmp_path / "out")
    found = {row["cell"]: row["figures"]["search"] for row in summary["rows"]}
    assert (found["hard"]["mean"], found["hard"]["sd"]) == (12.0, pytest.approx(8**0.5))
    assert found["first"]["sd"] is None
    assert summary["missing"] == ["first, seed 1"]
    main(config(tmp_path, recipe, summary=True))
    WRITE_PLOTS(summary, tmp_path / "out")
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "| hard | 2 | 12.0 ± 2.8 | 50.0 ± 0.0 |" in page
    assert "Missing, 1: first, seed 1." in page
    assert (tmp_path / "out" / "summary.png").stat().st_size > 1000


def test_cells_are_measured_over_their_steps(tmp_path, stand_in):
    cells = [{"name": "course", "chain": ["stage1", "stage2"], "at": [0, 2, 6]}]
    main(config(tmp_path, write_recipe(tmp_path, cells=cells, seeds=[0])))
    (rows,) = figures(tmp_path).values()
    assert list(dict.fromkeys(row["step"] for row in rows)) == [0, 2, 6]
    first, middle, last = stand_in.measured
    assert first.startswith("pretrain-")
    assert middle == "checkpoint-2"
    assert last.startswith("contrast-")
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "| series | steps | seeds |" in page


def test_an_axis_multiplies_the_cells(tmp_path):
    axis = {"name": "width", "points": [{"name": 32}, {"name": 64, "stage1": {"model": {"hidden_size": 64}}}]}
    grid = read_grid(write_recipe(tmp_path, axis=axis))
    assert [cell.name for cell in grid.cells][:3] == ["neither @32", "neither @64", "hard @32"]
    widths = [cell.stages[0][1]["model"]["hidden_size"] for cell in grid.cells]
    assert widths == [32, 64] * 3


def test_parts_cover_the_grid_exactly_once(tmp_path):
    grid = read_grid(write_recipe(tmp_path))
    everything = jobs(grid, (0, 1, 2))
    for parts in (1, 2, 4, 11):
        together = [job for part in range(parts) for job in choose(everything, None, f"{part + 1}/{parts}")]
        assert sorted(number for number, _, _ in together) == list(range(9))
    assert choose(everything, 4, None) == [everything[4]]
    assert {cell_file(tmp_path, cell, seed) for _, cell, seed in everything} == {
        tmp_path / "cells" / f"{name}.seed{seed}.json" for name in ("neither", "hard", "first") for seed in range(3)
    }
    with pytest.raises(ValueError, match=r"cell is 9"):
        choose(everything, 9, None)
    for cell, part in ((-1, None), (None, "0/2"), (None, "3/2"), (None, "1"), (0, "1/2")):
        with pytest.raises(ValueError, match=r"cell|part"):
            AblateConfig("recipe", tmp_path / "out", summary=True, cell=cell, part=part)


def test_list_does_nothing(tmp_path, stand_in, monkeypatch):
    said = []
    monkeypatch.setattr(
        "open_codesage.train.common.console.tqdm.write", staticmethod(lambda line, **_: said.append(line))
    )
    assert (
        cli.main(["ablate", write_recipe(tmp_path), "--output", str(tmp_path / "out"), "--list", "--part", "1/6"]) == 0
    )
    assert said[0] == "   0  neither, seed 0: missing *"
    assert len(said) == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": [{"name": "a", "chain": ["stage3"]}]}, "cell 'a': there is no stage 'stage3'"),
        ({"cells": [{"name": "a", "chain": ["stage1"], "stage3": {}}]}, "cell 'a': there is no stage 'stage3'"),
        ({"cells": [{"name": "a", "like": "b", "chain": ["stage1"]}]}, "cell 'a' is like 'b', but no cell"),
        ({"cells": [{"name": "a", "chain": ["stage1"]}] * 2}, "two cells have the name 'a'"),
        ({"cells": [{"name": "a"}]}, "cell 'a' needs a chain"),
        ({"cells": [{"name": "a", "chain": ["stage2"]}]}, "begins with contrast"),
        ({"cells": [{"name": "a", "chain": ["stage1"], "stage1": {"stepz": 1}}]}, "cell a: unknown key 'stepz'"),
        ({"cells": [{"name": "a", "chain": ["stage1"], "stage1": {"seed": 1}}]}, "seed is given by the grid"),
        ({"cells": [{"name": "a", "chain": ["stage1"], "at": [2]}]}, "at needs a last stage of contrast"),
        ({"cells": []}, "cells: expected a list"),
        ({"stages": {**RECIPE["stages"], "stage1": {"command": "train"}}}, "its command is 'train'"),
        ({"seeds": 3}, "seeds: expected a list"),
        ({"measure": {}}, "names nothing to measure"),
        ({"measure": {"columns": {"search": ["words mrr"]}}}, "set protocol metric"),
        ({"measure": {"columns": {"search": ["a b c"]}, "size": 1}}, "unknown key 'size'"),
        ({"cellz": []}, "unknown key 'cellz'"),
    ],
)
def test_a_recipe_that_is_not_sound_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_grid(write_recipe(tmp_path, **changes))


def test_what_a_grid_needs_is_asked_for(tmp_path):
    recipe = write_recipe(tmp_path)
    with pytest.raises(ValueError, match="missing --corpus"):
        main(AblateConfig(recipe, tmp_path / "out"))
    with pytest.raises(ValueError, match="missing --tasks"):
        main(AblateConfig(recipe, tmp_path / "out", corpus=tmp_path))
    with pytest.raises(ValueError, match=r"no evaluation set .*words"):
        main(AblateConfig(recipe, tmp_path / "out", corpus=tmp_path, tasks=tmp_path))
    with pytest.raises(ConfigError, match="hardness, masking, modality, stages"):
        read_grid("nothing")


def test_a_folder_of_a_recipe_s_name_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_grid("stages").path.is_relative_to(RECIPES)


@pytest.mark.parametrize("name", sorted(file.stem for file in RECIPES.glob("*.yaml")))
def test_the_recipes_of_the_package_are_sound(name):
    grid = read_grid(name)
    assert len(grid.cells) > 1
    assert {column.name for column in grid.columns} >= {"NL to code", "classification"}


def make_sets(folder: Path, words: list[str]) -> None:
    """A search set and a classification set, of words of the tiny corpus."""
    for name in ("words", "kinds"):
        (folder / name).mkdir(parents=True)
    texts = [{"_id": str(number), "text": word, "language": "python"} for number, word in enumerate(words)]
    for file in ("corpus.jsonl", "queries.jsonl"):
        (folder / "words" / file).write_text("\n".join(map(json.dumps, texts)))
    (folder / "words" / "qrels.tsv").write_text("q\td\tscore\n" + "".join(f"{n}\t{n}\t1\n" for n in range(len(words))))
    rows = [json.dumps({"text": word, "label": len(word) % 2}) for word in words * 2]
    for part in ("train", "valid", "test"):
        (folder / "kinds" / f"{part}.jsonl").write_text("\n".join(rows))


def test_a_small_grid_from_end_to_end(tmp_path):
    from open_codesage.train.evaluation.ablation import measure

    source = tmp_path / "source"
    for unit in range(4):
        (source / f"package{unit}").mkdir(parents=True)
        for number in range(3):
            (source / f"package{unit}" / f"module{number}.py").write_text(
                "\n\n".join(
                    f"def merge_{word}_{unit}_{number}(values):\n"
                    f'    """Merge the {word} values of list {unit}{number}."""\n'
                    f"    result = []\n    for value in values:\n        result.append(value.{word}({number}))\n"
                    f"    return result\n"
                    for word in ("first", "last", "green", "large")
                )
            )
    folders = ["--source", str(source), "--output", str(tmp_path / "corpus")]
    assert cli.main(["extract", *folders, "--min-held-out", "4", "--num-proc", "1"]) == 0
    make_sets(
        tmp_path / "tasks", ["merge the first", "values of list", "append", "green large", "return result", "def"]
    )
    model = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    stages = {
        "stage1": {
            "command": "pretrain", "preset": "nano", "model": model, "steps": 2, "batch_size": 2, "max_length": 64,
            "device_batch_size": 2,
        },
        "stage2": {"command": "contrast", "steps": 2, "batch_size": 4, "text_max_length": 16, "code_max_length": 32},
    }  # fmt: skip
    cells = [
        {"name": "over steps", "chain": ["stage1", "stage2"], "at": [0, 1, 2]},
        {"name": "untrained", "chain": ["stage1"], "stage1": {"steps": 0}},
    ]
    recipe = write_recipe(tmp_path, stages=stages, cells=cells, seeds=[0])
    main(config(tmp_path, recipe))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [(row["cell"], row["x"]) for row in summary["rows"]] == [
        ("over steps", "0"), ("over steps", "1"), ("over steps", "2"), ("untrained", None),
    ]  # fmt: skip
    assert all(0 < row["figures"]["search"]["mean"] <= 100 for row in summary["rows"])
    # What was measured is what the models say when they are asked again.
    folder = next((tmp_path / "out" / "steps").glob("contrast-????????????"))
    again = measure.Measurer(tmp_path / "tasks", [("words", "full")], max_length=16).measure(folder)
    mrr = next(row["value"] for row in again if row["metric"] == "mrr")
    assert summary["rows"][2]["figures"]["search"]["mean"] == pytest.approx(mrr, abs=1e-3)
