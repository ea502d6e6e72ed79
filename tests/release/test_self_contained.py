"""What users fine-tune and save by their own scripts opens where open_codesage is not installed, adapters included.

Two fresh interpreters that cannot import the package, each with an empty Hugging Face cache: one runs the scripts of
`docs/examples` and saves and pushes models and adapters, the other opens all of it, and what `finetune` wrote here.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.stages.configs import FinetuneConfig
from open_codesage.train.stages.finetune import main
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

SCRIPTS = Path(__file__).parents[1] / "scripts"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TEXTS = ["merge the token of a queue", "def sort_window(file):\n    return sort(file.window)\n"]

tiny = runpy.run_path(str(SCRIPTS / "finetune_tiny.py"))
stand_in = runpy.run_path(str(Path(__file__).parents[1] / "stand_in_hub.py"))


def run(script, *arguments, work, hub):
    """Run a script of `scripts` in a fresh interpreter without open_codesage; returns what it printed."""
    home = work / f"home of {script}"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", **hub.environment(home)}
    command = [sys.executable, "-I", SCRIPTS / "export_blocked.py", SCRIPTS / script, *map(str, arguments)]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """An exported folder twice, rows, and what `finetune` makes of them."""
    work = tmp_path_factory.mktemp("work")
    export(ExportConfig(model=tiny["base"](work / "model"), output=work / "base"))
    shutil.copytree(work / "base", work / "gone")
    (work / "result").mkdir()
    rows = tiny["write_rows"](work / "rows.jsonl", tiny["rows"]())
    common = {
        "model": str(work / "base"), "data": str(rows), "steps": 2, "learning_rate": 1e-2, "batch_size": 16,
    }  # fmt: skip
    adapter = {"method": "lora", "merge": True}
    main(FinetuneConfig(output=work / "ours" / "search", task="retrieval", **adapter, **common))
    main(FinetuneConfig(output=work / "ours" / "classes", task="classification", **adapter, **common))
    main(FinetuneConfig(output=work / "ours" / "classes in full", task="classification", **common))
    return work


@pytest.fixture(scope="module")
def outputs(work):
    """What the models gave where they were saved, and where they were opened, and what the first script printed."""
    Dataset.from_list(tiny["rows"]()).to_csv(work / "rows.csv", index=False)
    with stand_in["StandInHub"]() as hub:
        repo = hub.repos["user/base"] = stand_in["Repo"](private=False)
        files = {path.relative_to(work / "base").as_posix(): path for path in (work / "base").rglob("*")}
        content = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        repo.commit("main", repo.refs["main"], "base", repo.files | content)
        arguments = [work / "base", work / "gone", EXAMPLES, work / "rows.csv", work / "result"]
        said = run("self_contained_save.py", *arguments, work=work, hub=hub)
        shutil.rmtree(work / "gone")
        run("self_contained_open.py", work / "base", work / "result", work / "ours", work=work, hub=hub)
    return np.load(work / "result" / "saved.npz"), np.load(work / "result" / "opened.npz"), said


WAYS = [
    ("classify.py", "transformers"),
    ("classify.py", "hub"),
    ("search.py", "sentence-transformers"),
    ("peft", "transformers"),
    ("peft", "peft"),
    ("peft", "auto peft"),
    ("peft untold", "transformers"),
    ("peft untold", "peft"),
    ("transformers", "transformers"),
    ("transformers", "peft"),
    ("sentence", "sentence-transformers"),
    ("sentence", "hub"),
    ("trainer", "transformers"),
    ("trainer", "hub"),
    ("trainer", "auto peft"),
]


@pytest.mark.parametrize(("folder", "way"), WAYS)
def test_what_was_saved_by_a_users_script_opens_elsewhere(outputs, folder, way):
    saved, opened, _ = outputs
    assert saved[folder].shape == opened[f"{folder}.{way}"].shape
    assert np.abs(saved[folder] - opened[f"{folder}.{way}"]).max() < 1e-6


def test_every_adapter_was_one_that_matters(outputs):
    """Else the base alone would pass."""
    saved, opened, _ = outputs
    for name in ("peft", "peft untold", "transformers"):
        assert np.abs(saved[name] - saved["base"]).max() > 1e-2
    assert not any(np.isnan(opened[name]).any() for name in opened)


def test_adapters_hold_no_whole_model(work, outputs):
    for name in ("peft", "transformers", "sentence", "trainer"):
        assert (work / "result" / name / "adapter_model.safetensors").is_file()
        assert not (work / "result" / name / "model.safetensors").exists()


@pytest.mark.parametrize("folder", ["search", "search.merged", "classes", "classes.merged", "classes in full"])
def test_what_finetune_wrote_opens_elsewhere(work, outputs, folder):
    path = work / "ours" / folder
    if folder.startswith("search"):
        found, expected = "sentence-transformers", SentenceTransformer(str(path), device="cpu").encode(TEXTS)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=4).eval()
        batch = AutoTokenizer.from_pretrained(path)(TEXTS, padding=True, return_tensors="pt")
        found, expected = "transformers", model(**batch).logits.detach().numpy()
    assert np.abs(outputs[1][f"{folder}.{found}"] - expected).max() < 1e-6


def test_the_examples_learn_and_say_so(outputs):
    accuracy = float(re.search(r"^accuracy (\S+)$", outputs[2], flags=re.M)[1])
    assert accuracy > 0.5, "four classes"
    assert re.search(r"^\w+ the \w+ of a \w+\n->\ndef \w+", outputs[2], flags=re.M)


def test_the_examples_know_nothing_of_the_package():
    for script in EXAMPLES.glob("*.py"):
        code = script.read_text(encoding="utf-8")
        assert "open_codesage" not in code
        assert code.count("\n") < 60
