"""Commands that use a model work on encoders of every architecture, and see the embeddings that these give.

Tiny new models; what a command finds is compared with the mean over the states of `AutoModel`. Both stages and
`export` are in release/test_any_encoder.py.
"""

import importlib.util
import json
import runpy
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.train.common.output import LOG
from open_codesage.train.corpus.corpus import FILE_COLUMNS, Corpus, PartWriter
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main as evaluate
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.search.database import NAME
from open_codesage.train.search.index import Index
from open_codesage.train.stages.configs import ConsistencyConfig, FinetuneConfig
from open_codesage.train.stages.consistency import main as consistency
from open_codesage.train.stages.finetune import main as finetune
from peft import AutoPeftModelForSequenceClassification
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

SCRIPTS = Path(__file__).parent / "scripts"
tiny = runpy.run_path(str(SCRIPTS / "tiny_encoders.py"))
KINDS = [*tiny["ARCHITECTURES"], "codesage"]
ORIGIN = {"base_model": "somebody/encoder", "base_license": "mit"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPTS / "contrast_run.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture(scope="module")
def corpus(script, tmp_path_factory):
    folder = script.make_corpus(tmp_path_factory.mktemp("corpus") / "corpus", rows=60)
    with PartWriter(folder / "files", FILE_COLUMNS) as files:
        files.write({"text": "x = 1", "language": "python", "path": "a.py", "licence": "MIT", "unit": "seen"})
    (folder / "report.json").write_text("{}")
    return folder


@pytest.fixture(scope="module", params=KINDS)
def encoder(request, script, corpus, tmp_path_factory):
    """A new masked LM of a kind, as `pretrain` leaves it, and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / request.param
    if request.param == "codesage":
        return script.make_encoder(folder)
    rows = Corpus(corpus).functions("train")
    return tiny["write"](request.param, folder, [*rows["summary"], *rows["code"]])


def embed(folder, texts):
    """Embed by transformers alone, text by text."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        batches = [tokenizer(text, truncation=True, return_tensors="pt") for text in texts]
        return normalize(torch.stack([model(**batch).last_hidden_state[0].mean(0) for batch in batches]), dim=-1)


def ranks(folder, rows):
    """The rank of each row's function by its summary, from 1."""
    scores = embed(folder, rows["summary"]) @ embed(folder, rows["code"]).T
    return (scores > scores.diagonal().unsqueeze(1)).sum(1) + 1


def test_consistency_keeps_what_the_encoder_finds(encoder, corpus, tmp_path):
    rows = Corpus(corpus).functions("train")
    found = ranks(encoder, rows)
    top_k = int(found.median())
    consistency(ConsistencyConfig(corpus, str(encoder), tmp_path / "out", top_k=top_k))
    kept = Corpus(tmp_path / "out").functions("train")["name"]
    assert list(kept) == [name for name, rank in zip(rows["name"], found, strict=True) if rank <= top_k]
    assert 0 < len(kept) < len(rows)


def test_evaluate_measures_what_the_encoder_finds(encoder, corpus):
    results = evaluate(EvaluateConfig(models=(str(encoder),), tasks=(str(corpus),)))
    [mrr] = [
        row["value"]
        for row in results["rows"]
        if (row["metric"], row["part"], row["protocol"]) == ("mrr", "all", "full")
    ]
    expected = 100 * (1 / ranks(encoder, Corpus(corpus).functions("held_out"))).mean().item()
    assert mrr == pytest.approx(expected, abs=1e-3)
    assert 0 < mrr < 90, "neither nothing nor everything is found: the comparison says something"


def test_search_indexes_by_the_encoder(encoder, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.py").write_text(
        "def merge(folder):\n    return folder\n\n\ndef count(token):\n    return 1\n"
    )
    with Index.open(tmp_path / "tree", str(encoder), folder=tmp_path / "index", workers=1) as index:
        index.update()
        assert {hit.name for hit in index.search("merge a folder")} == {"merge", "count"}
        width = index._encoder.dimension
        texts = ["merge a folder", "count the tokens"]
        assert np.abs(index._encoder.documents(texts) - embed(encoder, texts).numpy()).max() < 1e-5
    with sqlite3.connect(tmp_path / "index" / NAME) as connection:
        rows = connection.execute("SELECT embedding FROM texts").fetchall()
    assert len(rows) == 2
    assert width == AutoModel.from_pretrained(encoder).config.hidden_size


def write_rows(file, corpus):
    rows = Corpus(corpus).functions("train")
    lines = [{"text": row["summary"], "code": row["code"], "label": row["name"].partition("_")[0]} for row in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def tune(encoder, corpus, folder, **settings):
    data = write_rows(folder / "rows.jsonl", corpus)
    usual = {"steps": 2, "eval_steps": 2, "batch_size": 8, "learning_rate": 1e-2, "eval_share": 0.25}
    return finetune(FinetuneConfig(str(encoder), str(data), folder / "tuned", **(usual | settings)))


def test_finetune_learns_to_search(encoder, corpus, tmp_path):
    tuned = tune(encoder, corpus, tmp_path, task="retrieval", method="lora", merge=True)
    log = json.loads((tuned / LOG).read_text())
    assert log["metrics"]["evaluation"].keys() == {"BM25", "base model", "fine-tuned"}
    assert 0 < log["trained_parameters"] < log["parameters"]
    texts = ["merge the folder of a file", "def merge_folder(file): pass"]
    adapted, whole, before = (
        SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
        for folder in (tuned, tmp_path / "tuned.merged", encoder)
    )
    assert np.abs(adapted - whole).max() < 1e-5
    assert np.abs(adapted - before).max() > 1e-4


def logits(model, folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def test_finetune_learns_to_classify(encoder, corpus, tmp_path):
    """What the base lacks, such as the pooling layer of BERT, is in the adapter, else each opening draws it anew."""
    tuned = tune(encoder, corpus, tmp_path, task="classification", method="lora", merge=True)
    classes, texts = json.loads((tuned / LOG).read_text())["classes"], ["merge the folder of a file", "hash a token"]
    head = {"num_labels": len(classes)}
    opened = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        opened.append(logits(AutoPeftModelForSequenceClassification.from_pretrained(tuned, **head), tuned, texts))
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned.merged")
    assert [whole.config.id2label[number] for number in range(len(classes))] == classes
    assert torch.equal(*opened)
    assert (logits(whole, tuned, texts) - opened[0]).abs().max() < 1e-5


def test_a_classifier_of_another_architecture_is_not_exported(tmp_path):
    kind = tiny["write"]("bert", tmp_path / "bert", ["merge the folder"])
    AutoModelForSequenceClassification.from_pretrained(kind, num_labels=3).save_pretrained(tmp_path / "classifier")
    AutoTokenizer.from_pretrained(kind).save_pretrained(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"is a classifier, BertForSequenceClassification: .* push it as it is"):
        export(ExportConfig(tmp_path / "classifier", tmp_path / "hub", **ORIGIN))
    assert not (tmp_path / "hub").exists()
    export(ExportConfig(kind, tmp_path / "hub", **ORIGIN))
