"""The released model: small, sound, the same every time, and as good as its card says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import open_codesage.modeling  # noqa: F401
import pytest
import torch
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main
from open_codesage.train.search.released import released_model
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

HELD_OUT = Path(__file__).parents[2] / "model_cards" / "tasks" / "held-out"
TEXTS = ["return the larger of two numbers", "def larger(a, b):\n    return a if a > b else b", "x = 1"]


@pytest.fixture(scope="module")
def folder():
    return Path(released_model())


@pytest.fixture(scope="module")
def model(folder):
    return SentenceTransformer(str(folder), device="cpu")


def test_it_is_small_stored_in_half_precision_and_opened_in_full(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    assert file.stat().st_size <= 64 * 2**20
    assert sum(weight.numel() for weight in weights.values()) <= 33_000_000
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert all(weight.isfinite().all() for weight in weights.values())
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    assert {weight.dtype for weight in AutoModel.from_pretrained(folder).parameters()} == {torch.float32}


def test_it_takes_512_tokens_and_gives_unit_vectors_that_are_the_same_every_time(model, folder):
    assert model.max_seq_length >= 512
    first, second = model.encode(TEXTS), SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    assert (first == second).all()
    assert abs((first**2).sum(axis=1) - 1).max() < 1e-5
    long = "\n".join(f"value_{number} = {number}" for number in range(2000))
    assert torch.tensor(model.encode([long])).isfinite().all()


def test_both_libraries_agree(model, folder):
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(encoder(**batch).pooler_output, dim=-1)
    assert torch.allclose(vectors, torch.tensor(model.encode(TEXTS)), atol=1e-5)


def test_saved_again_it_is_the_same(model, tmp_path):
    model.save_pretrained(str(tmp_path / "again"))
    assert (SentenceTransformer(str(tmp_path / "again"), device="cpu").encode(TEXTS) == model.encode(TEXTS)).all()


def test_the_card_shows_the_figures_of_the_record(folder):
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    own = next(iter(record["models"]))
    wanted = {"model": own, "part": "all", "metric": "mrr"}
    figures = [row["value"] for row in record["rows"] if wanted.items() <= row.items()]
    assert len(figures) > 5
    text = (folder / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\d+\.\d", text))
    assert {f"{value:.1f}" for value in figures} <= shown


def test_the_usage_on_the_card_runs_as_it_is_printed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (folder / "README.md").read_text(encoding="utf-8"), flags=re.M | re.S
    )
    for block in blocks:
        exec(compile(block, "card", "exec"), {})
    assert len(blocks) == 2
    assert capsys.readouterr().out.count("tensor(") == 2


def test_measured_again_on_the_task_in_the_repository_the_figures_are_those_of_the_record(folder, capsys):
    main(EvaluateConfig(models=(str(folder),), tasks=(str(HELD_OUT),), expected=folder / "results.json"))
    assert "figures agree with the expected ones" in capsys.readouterr().out


def test_a_fresh_process_searches_with_it_and_no_network(tmp_path):
    (tmp_path / "tree").mkdir()
    code = f"{TEXTS[1]}\n\n\ndef read_lines(path):\n    return open(path).readlines()\n"
    (tmp_path / "tree" / "code.py").write_text(code)
    program = "import sys; from open_codesage.train.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "search", "the lines of a file", "tree", "--index", "index"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("tree/code.py:5: def read_lines(path)")
