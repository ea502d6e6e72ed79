"""The Hub folder in fresh interpreters, offline, where open_codesage cannot be imported.

Three interpreters, each with an empty Hugging Face cache of its own, so that code can only come from the folder:
one opens the folder and saves it again, one opens what was saved after the folder is gone, one runs the model card.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

SCRIPTS = Path(__file__).parents[1] / "scripts"
TEXTS = [
    "return the larger of two numbers",
    "def larger(a, b):\n    return a if a > b else b\n",
    "é🙂 變數 = 1\n" * 99,
    "",
]
NAME = "open-codesage-tiny"

tiny = runpy.run_path(str(SCRIPTS / "export_tiny.py"))


def run(script, *arguments, folder, home):
    """Run a script of `scripts` in a fresh interpreter without open_codesage; returns what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-I", SCRIPTS / "export_blocked.py", SCRIPTS / script, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """`hub/open-codesage-tiny` and the texts."""
    work = tmp_path_factory.mktemp("work")
    second = tiny["stage_two"](work / "second", tiny["stage_one"](work / "first"))
    main(ExportConfig(model=second, output=work / "hub" / NAME))
    (work / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    return work


@pytest.fixture(scope="module")
def expected(work):
    """The embeddings of the trained model, here."""
    return SentenceTransformer(str(work / "second"), device="cpu").encode(TEXTS)


@pytest.fixture(scope="module")
def card_output(work):
    return run("export_card_blocks.py", f"{NAME}/README.md", folder=work / "hub", home=work / "home card")


@pytest.fixture(scope="module")
def opened(work, card_output):
    (work / "opened").mkdir()
    run("export_open.py", NAME, work / "texts.json", work / "opened", folder=work / "hub", home=work / "home opened")
    return work / "opened"


@pytest.fixture(scope="module")
def reopened(work, opened):
    (work / "reopened").mkdir()
    (work / "hub").rename(work / "hub no more")
    folders = [opened / name for name in ("automodel", "masked", "sentence")]
    arguments = [work / "texts.json", work / "reopened", *folders]
    run("export_reopen.py", *arguments, folder=work / "reopened", home=work / "home reopened")
    return work / "reopened"


def read(result):
    return json.loads((result / "report.json").read_text(encoding="utf-8"))


def test_the_package_was_really_out_of_reach(opened):
    report = read(opened)
    assert not report["importable"]
    assert not report["imported"]
    assert not report["codesage in transformers"]
    assert all(module.startswith("transformers_modules.") for module in report["modules"])


def test_the_same_interpreter_can_import_the_package_if_it_is_not_blocked():
    """Else the test above would say nothing."""
    command = [sys.executable, "-I", "-c", "import open_codesage.train.release"]
    assert subprocess.run(command, check=False).returncode == 0


def test_every_key_is_found_and_nothing_is_warned_of(opened):
    report = read(opened)
    assert not any(report["loading"])
    assert report["messages"] == []
    assert any("classifier.weight" in message for message in report["new head"]), "messages must have been heard"
    assert report["dtypes"] == ["torch.float32"]
    assert report["classes"] == [len(TEXTS), 3]


@pytest.mark.parametrize("way", ["automodel", "masked", "sentence"])
def test_every_way_in_gives_the_embeddings_of_the_trained_model(opened, expected, way):
    """Within 1e-6: the batches and the pooling are not those of sentence-transformers everywhere."""
    embeddings = np.load(opened / "embeddings.npz")[way]
    assert np.abs(embeddings - expected).max() < 1e-6
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@pytest.mark.parametrize("saved", ["automodel", "masked", "sentence"])
def test_saved_again_the_weights_are_bitwise_those_that_were_trained(opened, work, saved):
    weights, trained = load_file(opened / saved / "model.safetensors"), load_file(work / "second" / "model.safetensors")
    weights = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    assert weights.keys() == trained.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in trained.items())


@pytest.mark.parametrize("saved", ["automodel", "masked", "sentence"])
def test_saved_again_it_opens_without_the_folder_it_came_from(reopened, expected, saved):
    report = read(reopened)[saved]
    assert not report["imported"]
    assert report["modules"] == ["CodeSageModel", "CodeSageForMaskedLM", "CodeSageModel"]
    assert not any(report["loading"])
    embeddings = np.load(reopened / f"{saved}.npz")
    assert np.abs(embeddings["automodel"] - expected).max() < 1e-6
    assert np.abs(embeddings["sentence"] - expected).max() < 1e-6


def test_the_code_of_the_card_runs_as_printed(card_output):
    with_sentence_transformers, with_transformers = card_output.split("block ")[1:]
    assert with_sentence_transformers.startswith("0\ntensor([[")
    assert with_transformers.startswith("1\ntensor([[1.0000")
