"""Short public imports: each room offers its names, and imports nothing heavy before one is used."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

ROOMS = ("corpus", "evaluation", "release", "retrieval", "search", "stages")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there_and_known_to_type_checkers(room):
    package = importlib.import_module(f"open_codesage.train.{room}")
    tree = ast.parse(inspect.getsource(package))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {alias.asname: node.module for node in block.body for alias in node.names}
    assert sorted(shown) == package.__all__
    for name, module in shown.items():
        assert getattr(package, name) is getattr(importlib.import_module(f".{module}", package.__name__), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_the_rooms_import_nothing_heavy():
    heavy = ("torch", "transformers", "sentence_transformers", "datasets", "numpy")
    script = (
        f"import importlib, sys\nfor room in {ROOMS!r}: importlib.import_module('open_codesage.train.' + room)\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\nsys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_names_of_the_method_are_a_line_away():
    from open_codesage.train.stages import HardNegativeContrastiveLoss, IdentifierMaskingCollator

    assert HardNegativeContrastiveLoss.__module__.endswith("stages.losses")
    assert IdentifierMaskingCollator.__module__.endswith("stages.data.masking")
