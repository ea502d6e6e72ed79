"""Recipes and options: priority, types, and messages that name the key and the remedy."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from open_codesage.train.common.config import ConfigError, load_config


@dataclass(frozen=True)
class ExampleConfig:
    """Do the example.

    Attributes:
        output: folder to write.
        rate: learning rate,
            per step.
        steps: number of steps.
        mode: which way.
        sources: folders to read.
        model: entries of the model's config.
        seed: the seed, or none.
        bf16: use bfloat16.
    """

    output: Path
    rate: float = 3e-4
    steps: int = 10
    mode: Literal["fast", "slow"] = "fast"
    sources: tuple[str, ...] = ()
    model: dict[str, Any] = field(default_factory=dict)
    seed: int | None = 0
    bf16: bool = False


def test_options_win_over_recipe_and_recipe_over_defaults(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("output: here\nrate: 1e-4\nsteps: 1_000\nsources: [a, b]\nmodel: {hidden_size: 64, layers: 2}\n")
    config = load_config(
        ExampleConfig,
        ["--config", str(recipe), "--steps", "7", "--model", "hidden_size=32", "rope.theta=1.5", "--bf16"],
    )
    assert config == ExampleConfig(
        output=Path("here"),
        rate=1e-4,
        steps=7,
        sources=("a", "b"),
        model={"hidden_size": 32, "layers": 2, "rope": {"theta": 1.5}},
        bf16=True,
    )


def test_numbers_with_an_exponent_are_numbers_in_mappings_too(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("output: o\nmodel: {rate: 5e-3, inner: {wte: 3e-2}, name: e5}\n")
    config = load_config(ExampleConfig, ["--config", str(recipe), "--model", "width=1e-4"])
    assert config.model == {"rate": 5e-3, "inner": {"wte": 3e-2}, "name": "e5", "width": 1e-4}


@dataclass(frozen=True)
class LicensedConfig:
    """Pass on.

    Attributes:
        license: of what is passed on.
        notes: what to say.
    """

    license: str
    notes: str = ""


def test_the_british_spelling_of_earlier_versions_is_still_read(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("licence: MIT\n")
    assert load_config(LicensedConfig, ["--config", str(recipe)]) == LicensedConfig("MIT")
    given = load_config(LicensedConfig, ["--licence", "mit", "--notes", "no-licence", "--config", str(recipe)])
    assert given == LicensedConfig("mit", "no-licence"), "values are left alone"
    assert load_config(LicensedConfig, ["--licence=a=licence"]) == LicensedConfig("a=licence")


def test_lists_and_none_on_the_command_line():
    config = load_config(ExampleConfig, ["--output", "o", "--sources", "x", "y", "--seed", "none", "--bf16", "false"])
    assert config.sources == ("x", "y")
    assert config.seed is None
    assert config.bf16 is False


@pytest.mark.parametrize(
    ("recipe", "argv", "message"),
    [
        ("output: o\nstep: 3\n", [], "unknown key 'step'; did you mean 'steps'"),
        ("output: o\nsteps: many\n", [], r"recipe.yaml: steps: expected int, got 'many'"),
        ("output: o\nsteps: 2.5\n", [], "expected int, got 2.5"),
        ("output: o\nbf16: 3\n", [], "expected bool"),
        ("output: o\nmodel: 3\n", [], "model: expected a mapping"),
        ("- 1\n", [], "a recipe is a mapping"),
        ("a: [\n", [], "is not YAML"),
        ("", [], "missing: --output"),
        ("output: o\n", ["--mode", "quick"], "'quick' is none of fast, slow"),
        ("output: o\n", ["--stepz", "3"], "did you mean '--steps'"),
        ("output: o\n", ["--model", "hidden"], "write key=value"),
        ("output: o\n", ["--model", "a={"], "what follows the equals sign in .a={. is not YAML"),
        ("output: o\n", ["--model", "rope=1", "rope.theta=2"], "rope.theta opens rope, which has a value already"),
    ],
)
def test_errors_name_the_key_and_the_remedy(tmp_path, recipe, argv, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    with pytest.raises(ConfigError, match=message):
        load_config(ExampleConfig, ["--config", str(path), *argv])


def test_missing_and_binary_recipes(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load_config(ExampleConfig, ["--config", str(tmp_path / "none.yaml")])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(ExampleConfig, ["--config", str(tmp_path / "binary.yaml")])


def test_help_comes_from_the_docstring(capsys):
    with pytest.raises(SystemExit):
        load_config(ExampleConfig, ["--help"], prog="example")
    text = " ".join(capsys.readouterr().out.split())
    assert "Do the example." in text
    assert "learning rate, per step. (default: 0.0003)" in text
    assert "folder to write. (required)" in text


@dataclass(frozen=True)
class PlacedConfig:
    """Rank.

    Attributes:
        output: where to write.
        models: model folders.
        seed: the seed.
        quick: skip half.
    """

    positional: ClassVar[tuple[str, ...]] = ("output", "models")

    output: Path
    models: tuple[str, ...]
    seed: int = 0
    quick: bool = False


def test_positional_fields_are_given_by_place_and_still_by_recipe(tmp_path):
    expected = PlacedConfig(models=("a", "b"), output=Path("o"), seed=3)
    assert load_config(PlacedConfig, ["o", "a", "b", "--seed", "3"]) == expected
    assert load_config(PlacedConfig, ["--seed", "3", "o", "a", "b"]) == expected
    flagged = dataclasses.replace(expected, quick=True)
    assert load_config(PlacedConfig, ["--quick", "o", "a", "b", "--seed", "3"]) == flagged
    assert load_config(PlacedConfig, ["--seed", "3", "--quick", "no", "o", "a", "b"]) == expected
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("models: [a, b]\noutput: o\nseed: 3\n")
    assert load_config(PlacedConfig, ["--config", str(recipe)]) == expected
    with pytest.raises(ConfigError, match="missing: OUTPUT, MODELS"):
        load_config(PlacedConfig, [])
    recipe.write_text("positional: [a]\n")
    with pytest.raises(ConfigError, match="unknown key 'positional'"):
        load_config(PlacedConfig, ["--config", str(recipe)])
