"""The command line: light help, exit statuses, one-line errors."""

import dataclasses
import os
import subprocess
import sys

import pytest
from open_codesage.train import cli
from open_codesage.train.common.config import _documentation

HEAVY = ("torch", "transformers", "sentence_transformers", "datasets")


@pytest.mark.parametrize("command", [None, *cli.COMMANDS])
def test_help_imports_nothing_heavy(command):
    argv = ["--help"] if command is None else [command, "--help"]
    script = (
        "import sys\nfrom open_codesage.train.cli import main\n"
        f"try:\n    status = main({argv!r})\nexcept SystemExit as stop:\n    status = stop.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'status {status}, loaded {loaded}' if status or loaded else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "usage: open-codesage" in result.stdout


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
