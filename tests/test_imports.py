"""The contracts on who may import whom hold, and are seen to break where a room imports one above it."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PORTIONS = ("modeling", "tokenization", "train")
PLANTED = [
    ("train.corpus.mixture", "train.stages.data.packing"),  # upward
    ("tokenization.source", "train.common.console"),  # upward
    ("train.retrieval.bm25", "train.corpus.packages.recipe"),  # what nobody uses
    ("train.common.checks", "train.common.config"),  # and the way back: a circle in a room
    ("train.common.config", "train.common.checks"),
]


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources, laid out as they are installed."""
    compiled = shutil.ignore_patterns("__pycache__")
    for portion in PORTIONS:
        shutil.copytree(ROOT / portion, tmp_path / "open_codesage" / portion, ignore=compiled)
    return tmp_path


def report(tree) -> str:
    """What import-linter says of a copy."""
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"
    options = ["--no-logo", "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-P", str(program), *options]
    paths = {"PYTHONPATH": str(tree)}
    result = subprocess.run(command, cwd=tree, env=paths, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) == (", 0 broken." in result.stdout), result.stdout + result.stderr
    return result.stdout


def test_the_contracts_hold(tree):
    assert "4 kept, 0 broken" in report(tree)


def test_imports_that_are_not_allowed_break_a_contract_even_inside_a_function(tree):
    for module, imported in PLANTED:
        with (tree / "open_codesage" / f"{module.replace('.', '/')}.py").open("a") as file:
            file.write(f"\n\ndef _planted():\n    import open_codesage.{imported}\n")
    found = " ".join(report(tree).split())  # long lines are broken
    assert "0 kept, 4 broken" in found
    for module, imported in PLANTED[:3]:
        assert f"open_codesage.{module} -> open_codesage.{imported}" in found
    assert "- .checks -> .config" in found or "- .config -> .checks" in found
