"""The released mini: a native BERT that every library opens, small, with its split of identifiers, as its card says."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

FOLDER = Path(__file__).parents[2] / "model_cards" / "open-codesage-mini"
TEXTS = ["return the larger of two numbers", "def getLarger(a, b):\n    return a if a > b else b", "", "x = 1"]


@pytest.fixture(scope="module")
def model():
    return SentenceTransformer(str(FOLDER), device="cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


def test_it_is_small_stored_in_half_precision_and_opened_in_full():
    file = FOLDER / "model.safetensors"
    weights = load_file(file)
    assert file.stat().st_size <= 46_000_000
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert all(weight.isfinite().all() for weight in weights.values())
    assert {weight.dtype for weight in AutoModel.from_pretrained(FOLDER).parameters()} == {torch.float32}


def test_it_needs_no_code_of_its_own_and_no_pickle():
    assert not [path.name for path in FOLDER.rglob("*") if path.suffix in (".py", ".bin", ".pt")]
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "bert"
    assert "auto_map" not in config


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("readFile_by line", ["read", "file", "by", "line"]),
        ("HTTPServer", ["http", "server"]),
        ("__read_header", ["read", "header"]),
    ],
)
def test_identifiers_are_split_into_words_however_the_folder_is_opened(model, tokenizer, text, tokens):
    assert tokenizer.tokenize(text) == tokens
    assert model.tokenizer.tokenize(text) == tokens
    assert tokenizer.backend_tokenizer.encode(text).tokens[1:-1] == tokens


def test_a_tokenizer_that_is_saved_again_splits_them_too(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize("readFile_by") == ["read", "file", "by"]


def test_both_libraries_agree(model, tokenizer):
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(FOLDER)(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    assert torch.allclose(vectors, torch.tensor(model.encode(TEXTS)), atol=1e-5)


def test_it_takes_512_tokens_and_shorter_dimensions(model):
    assert model.max_seq_length == 512
    text = "value " * 600
    assert model.tokenize([text])["input_ids"].shape == (1, 512)
    short = SentenceTransformer(str(FOLDER), device="cpu", truncate_dim=64)
    assert short.encode(["return the larger of two numbers"]).shape == (1, 64)


def test_the_card_shows_the_figures_of_the_record():
    record = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    measured = {
        (f"{row['task']}, {row['protocol']}", row["metric"]): row["value"]
        for row in record["rows"]
        if row["part"] == "all"
    }
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    results = yaml.safe_load(text.split("---")[1])["model-index"][0]["results"]
    assert {result["dataset"]["type"] for result in results} == {row["task"] for row in record["rows"]}
    for result in results:
        (metric,) = result["metrics"]
        value = measured[result["dataset"]["name"], metric["type"]]
        assert abs(value - metric["value"]) < 0.006
        assert f"| {value:.1f} |" in text.replace("*", "")


def test_the_usage_on_the_card_runs_as_it_is_printed(monkeypatch, capsys):
    monkeypatch.chdir(FOLDER.parent)
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for block in blocks:
        exec(compile(block, "card", "exec"), {})
    assert len(blocks) == 2
    assert capsys.readouterr().out.count("tensor(") == 2
