"""The command line: light help, exit statuses, one-line errors."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from open_codesage.train import cli
from open_codesage.train.common.config import _documentation, _flag, deciding, load_config
from open_codesage.train.stages.configs import ContrastConfig

OPTIONS = Path(__file__).parent / "fixtures" / "options.txt"
HEAVY = ("torch", "transformers", "sentence_transformers", "datasets")


# In one interpreter: the first help that loads something heavy is named.
HELP = """
import sys
from open_codesage.train.cli import COMMANDS, main
for command in (None, *COMMANDS):
    try:
        status = main(["--help"] if command is None else [command, "--help"])
    except SystemExit as stop:
        status = stop.code
    loaded = [name for name in sys.argv[1:] if name in sys.modules]
    if status or loaded:
        sys.exit(f"{command}: status {status}, loaded {loaded}")
"""


def test_help_imports_nothing_heavy():
    result = subprocess.run([sys.executable, "-c", HELP, *HEAVY], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: open-codesage") == 1 + len(cli.COMMANDS)


def test_no_option_is_added_renamed_or_given_another_default_unseen():
    """A change that is meant goes into the list, and what users notice of it into CHANGELOG.md."""
    options = [
        f"{name} {_flag(config, field.name)} {_default(field)}"
        for name, command in cli.COMMANDS.items()
        for config in [command.load_config()]
        for field in dataclasses.fields(config)
    ]
    assert options == OPTIONS.read_text().splitlines()


def _default(field):
    if field.default is not dataclasses.MISSING:
        return str(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else str(field.default_factory())


@pytest.mark.parametrize("what", ["positional", "compared", "free"])
def test_what_a_config_says_of_its_fields_is_of_fields_that_exist(what):
    for command in cli.COMMANDS.values():
        config = command.load_config()
        assert {*getattr(config, what, ())} <= {field.name for field in dataclasses.fields(config)}


def test_options_for_comparisons_are_named_at_the_end_of_the_help_and_still_taken(capsys):
    with pytest.raises(SystemExit):
        cli.main(["contrast", "--help"])
    options, _, end = capsys.readouterr().out.partition("for comparisons, described in the documentation:")
    assert "--temperature" in options
    assert "--hardness-mode" not in options
    assert "--hardness-mode" in end
    required = ["--model", "m", "--corpus", "c", "--output", "o", "--steps", "1"]
    assert load_config(ContrastConfig, [*required, "--pairs", "dropout"]).pairs == "dropout"


def test_settings_that_decide_are_all_but_the_free_ones(tmp_path):
    config = ContrastConfig(model=tmp_path, corpus=tmp_path, output=tmp_path, steps=1, num_workers=3)
    decide = deciding(config)
    assert decide.keys() == {field.name for field in dataclasses.fields(config)} - {*ContrastConfig.free}
    assert {"steps", "seed", "trainer"} <= decide.keys()
    assert "num_workers" not in decide


@pytest.mark.parametrize("command", cli.COMMANDS.values(), ids=cli.COMMANDS)
def test_every_option_is_documented(command):
    config = command.load_config()
    _, attributes = _documentation(config)
    assert [f.name for f in dataclasses.fields(config)] == list(attributes), "Attributes: of the docstring and fields"
    assert config.__dataclass_params__.frozen


def test_wrong_use_is_status_two_and_one_line(capsys):
    assert cli.main([]) == 2
    assert cli.main(["quick"]) == 2
    assert cli.main(["extract", "--outputs", "x"]) == 2
    assert cli.main(["extract", "--output", "x", "--languages", "klingon"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "unknown command 'quick'" in lines[0]
    assert "did you mean '--output'" in lines[1]
    assert "unknown language 'klingon'; known languages:" in lines[2]
    assert len(lines) == 3


def test_errors_of_a_step_are_status_one_and_one_line(tmp_path, capsys):
    status = cli.main(["extract", "--source", str(tmp_path / "missing"), "--output", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 1
    assert "missing" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_no_command_lets_jax_take_the_gpu(monkeypatch, capsys):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("USE_JAX", "1")
    assert cli.main(["--help"]) == 0
    assert os.environ["JAX_PLATFORMS"] == "cpu"
    assert os.environ["USE_JAX"] == "1"  # who wants it has it
