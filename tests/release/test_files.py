"""A Hub folder holds the files of a model, as they are, and a record that is one: nothing else is published."""

import json
import os
import shutil
from pathlib import Path

import pytest
from open_codesage.train.evaluation.results import SCHEMA
from open_codesage.train.release.check import _file_problems
from open_codesage.train.release.layout import FILES, MODULES

ROW = {"model": "m", "task": "t", "protocol": "full", "part": "all", "metric": "mrr", "value": 51.5}
RECORD = {
    "schema": SCHEMA,
    "models": {"m": {"hash": "0"}},
    "tasks": {"t": {"layout": "search"}},
    "rows": [ROW],
    "runs": [],
    "cosines": [],
    "packages": {},
    "settings": {},
}


@pytest.fixture
def folder(tmp_path):
    """The files of a Hub folder, by name; their contents are looked at later."""
    for name in FILES:
        path = tmp_path / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "hub" / "modules.json").write_text(json.dumps([{"type": f"x.{name}"} for name in MODULES]))
    return tmp_path / "hub"


def linked(name, target="../secret.txt"):
    def change(folder):
        (folder.parent / "secret.txt").write_text("x")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


def linked_folder(folder):
    shutil.move(folder / "1_Pooling", folder.parent / "elsewhere")
    (folder / "1_Pooling").symlink_to(folder.parent / "elsewhere")


def record(**changes):
    return lambda folder: (folder / "results.json").write_text(json.dumps(RECORD | changes))


def text(content):
    return lambda folder: (folder / "results.json").write_text(content)


REFUSED = {
    "link in the place of results": (linked("results.json"), "is a link"),
    "link to a file beside it": (linked("results.json", "README.md"), "is a link"),
    "link to nothing": (linked("results.json", "nowhere"), "is a link"),
    "link in the place of the card": (linked("README.md"), "is a link"),
    "link in the place of weights": (linked("model.safetensors"), "is a link"),
    "link to a folder": (lambda folder: (folder / "onnx").symlink_to("/etc"), "is a link"),
    "linked module": (linked_folder, "is a link"),
    "pipe": (lambda folder: os.mkfifo(folder / "results.json"), "no regular file"),
    "any text": (text("my passwords"), "is not JSON"),
    "any list": (text("[1]"), "holds a list"),
    "any object": (text('{"passwords": ["x"]}'), "is no results.json"),
    "other schema": (record(schema="open-codesage-results/0"), "the schema is"),
    "more than a record": (record(passwords=["x"]), "passwords"),
    "less than a record": (record(rows=None), "has no rows"),
    "any row": (record(rows=["my password"]), "has to be an object"),
    "a row with more": (record(rows=[ROW | {"note": "x"}]), "a row is"),
    "a row with less": (record(rows=[{"model": "m"}]), "a row is"),
    "no number": (record(rows=[ROW | {"value": "high"}]), "finite value"),
    "no finite number": (record(rows=[ROW | {"value": float("nan")}]), "finite value"),
    "of another model": (record(rows=[ROW | {"model": "other"}]), "does not name above"),
    "nested": (text('{"schema": ' + "[" * 100_000), "nested too deeply"),
    "other file": (lambda folder: (folder / "notes.txt").write_text("x"), "does not belong in a Hub folder"),
    "hidden file": (lambda folder: (folder / ".env").write_text("x"), "does not belong in a Hub folder"),
    "pickle": (lambda folder: (folder / "pytorch_model.bin").write_text("x"), "a pickle can run code"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_part_of_a_model_is_not_published(case, folder):
    change, message = REFUSED[case]
    assert _file_problems(folder) == []
    change(folder)
    problems = _file_problems(folder)
    assert len(problems) == 1
    assert message in problems[0]
    assert str(folder) in problems[0]


def test_a_record_of_figures_is(folder):
    record()(folder)
    assert _file_problems(folder) == []


def test_the_record_of_the_released_model_is_one():
    from open_codesage.train.evaluation.results import require_record

    for path in Path(__file__).parents[2].glob("model_cards/*/results.json"):
        require_record(path)
