"""Fine-tuning gives the best model of a run, as whole model or adapter, and refuses what it cannot learn from."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.train.common.metrics import measure_classes
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main as evaluate
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.stages.configs import FinetuneConfig
from open_codesage.train.stages.finetune import _rows, main
from open_codesage.train.stages.finetune_retrieval import Retrieval
from open_codesage.train.stages.lora import lora
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

SCRIPTS = Path(__file__).parents[1] / "scripts"
tiny = runpy.run_path(str(SCRIPTS / "finetune_tiny.py"))
ROWS = tiny["rows"]()
module_of = {row["code"]: row["module"] for row in ROWS}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A base model, and rows in three files."""
    work = tmp_path_factory.mktemp("finetune")
    tiny["base"](work / "base")
    for name, part in (("train", ROWS[:64]), ("valid", ROWS[64:80]), ("test", ROWS[80:])):
        tiny["write_rows"](work / f"{name}.jsonl", part)
    return work


def tune(work, output, **options):
    """Fine-tune for a few steps on the file of training rows."""
    usual = {
        "model": str(work / "base"),
        "data": str(work / "train.jsonl"),
        "eval_data": str(work / "valid.jsonl"),
        "learning_rate": 1e-2,
        "steps": 6,
        "eval_steps": 3,
        "batch_size": 16,
    }
    return main(FinetuneConfig(output=work / output, **(usual | options)))


@pytest.fixture(scope="module")
def searched(work):
    return tune(work, "searched", task="retrieval", test_data=str(work / "test.jsonl"), steps=12)


@pytest.fixture(scope="module")
def adapted(work):
    return tune(work, "adapted", task="retrieval", method="lora", merge=True)


@pytest.fixture(scope="module")
def classified(work):
    return tune(work, "classified", task="classification", test_data=str(work / "test.jsonl"), steps=12)


@pytest.fixture(scope="module")
def adapted_classifier(work):
    return tune(work, "adapted classifier", task="classification", method="lora", merge=True)


def record(output):
    return json.loads((output / "training.json").read_text())


def logits(model, tokenizer, rows=ROWS):
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**batch).logits


# Retrieval


def test_search_gets_better_and_its_figures_are_those_of_the_library(searched):
    model = SentenceTransformer(str(searched), device="cpu")
    rows = ROWS[80:]
    queries, corpus = ({str(n): row[key] for n, row in enumerate(rows)} for key in ("text", "code"))
    search = InformationRetrievalEvaluator(
        queries, corpus, {name: {name} for name in queries}, mrr_at_k=[16], precision_recall_at_k=[10], write_csv=False
    )
    measured, figures = search(model), record(searched)["metrics"]["test"]
    assert figures["fine-tuned"]["mrr"] == pytest.approx(100 * measured["cosine_mrr@16"], abs=1e-3)
    assert figures["fine-tuned"]["recall@10"] == pytest.approx(100 * measured["cosine_recall@10"], abs=1e-3)
    assert figures["fine-tuned"]["mrr"] > figures["base model"]["mrr"] + 10
    assert figures["BM25"]["mrr"] > 90


def test_the_model_is_that_of_the_best_evaluation(work):
    """A learning rate that ruins the model after its first steps."""
    output = tune(work, "ruined", task="retrieval", learning_rate=1.0, warmup_steps=4, steps=60, eval_steps=2)
    log = record(output)
    scores = {entry["step"]: entry["eval_mrr"] for entry in log["log"] if "eval_mrr" in entry}
    assert log["best_step"] == max(scores, key=scores.get)
    assert log["metrics"]["evaluation"]["fine-tuned"]["mrr"] == max(scores.values())
    # Three evaluations without a better one end it, long before the last step.
    assert log["steps"] == log["best_step"] + 3 * 2 == max(scores) < 60
    weights = load_file(output / "model.safetensors")
    best, last = (
        load_file(work / f"ruined.run/checkpoint-{step}/model.safetensors") for step in (log["best_step"], log["steps"])
    )
    assert all(torch.equal(weights[name], best[name]) for name in best)
    assert any(not torch.equal(weights[name], last[name]) for name in last)


@pytest.mark.parametrize("group", ["module", None])
def test_whole_modules_are_held_out_if_they_are_named(work, group):
    data = str(tiny["write_rows"](work / "all.jsonl", ROWS))
    config = FinetuneConfig(model="", data=data, output=work, task="retrieval", group_column=group, eval_share=0.25)
    rows = _rows(config, Retrieval)
    train, held = ({module_of[code] for code in part["code"]} for part in (rows.train, rows.evaluation))
    assert len(rows.train) + len(rows.evaluation) == len(ROWS)
    assert len(rows.evaluation) == 24
    assert bool(train & held) is (group is None)


@pytest.mark.parametrize("loss", ["ours", "mnrl"])
def test_triplets_are_learnt_by_either_loss(work, loss):
    columns = ("text", "code", "wrong")
    output = tune(work, f"triplets {loss}", task="retrieval", loss=loss, columns=columns, steps=2)
    pairs = tune(work, f"pairs {loss}", task="retrieval", loss=loss, columns=columns[:2], steps=2, mini_batch_size=None)
    losses = [record(folder)["log"][0]["loss"] for folder in (output, pairs)]
    # Negatives of their own are more to tell apart.
    assert losses[0] > losses[1] + 0.2
    assert record(output)["metrics"]["evaluation"]["fine-tuned"]["mrr"] < 100


def test_the_result_is_exported_and_evaluated_as_any_other(searched, adapted, work, tmp_path):
    for model in (searched, adapted.with_name("adapted.merged")):
        hub = export(ExportConfig(model=model, output=tmp_path / model.name))
        expected, found = (SentenceTransformer(str(folder), device="cpu").encode(["parse"]) for folder in (model, hub))
        assert (found == expected).all()
    assert "### Fine-tuning: contrastive learning on pairs" in (tmp_path / "searched" / "README.md").read_text()
    corpus = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "contrast_run.py"))["make_corpus"](
        tmp_path / "corpus", 24
    )
    assert evaluate(EvaluateConfig(models=(str(adapted),), tasks=(str(corpus),)))["rows"]


# Adapters


def test_an_adapter_is_reloaded_and_merged_exactly(adapted, work):
    texts = [row["code"] for row in ROWS]
    base, adapter, merged = (
        SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
        for folder in (work / "base", adapted, work / "adapted.merged")
    )
    assert np.abs(adapter - merged).max() < 1e-6
    assert np.abs(adapter - base).max() > 1e-2, "the adapter must have learnt something"
    # The embeddings that were measured during training are those of the saved adapter.
    figures = record(adapted)["metrics"]["evaluation"]["fine-tuned"]
    rows = ROWS[64:80]
    model = SentenceTransformer(str(adapted), device="cpu")
    similarities = model.similarity(model.encode([r["text"] for r in rows]), model.encode([r["code"] for r in rows]))
    ranks = 1 + (similarities > similarities.diag()[:, None]).sum(dim=1)
    assert figures["mrr"] == pytest.approx(100 * (1 / ranks).mean().item(), abs=1e-3)


def test_an_adapter_needs_blocks():
    config = CodeSageConfig(
        vocab_size=300,
        hidden_size=8,
        num_hidden_layers=0,
        num_attention_heads=1,
        pad_token_id=2,
        final_layer_norm=False,
    )
    with pytest.raises(ValueError, match=r"bag of tokens.*method full"):
        lora(CodeSageModel(config), 4, "FEATURE_EXTRACTION")


def test_an_adapter_holds_nothing_but_low_rank_matrices(adapted, work):
    weights = load_file(adapted / "adapter_model.safetensors")
    blocks = 2
    assert len(weights) == blocks * 4 * 2
    assert {min(tensor.shape) for tensor in weights.values()} == {16}
    assert not list(adapted.glob("model*.safetensors"))
    log = record(adapted)
    assert log["trained_parameters"] == sum(tensor.numel() for tensor in weights.values())
    settings = json.loads((adapted / "adapter_config.json").read_text())
    assert Path(settings["base_model_name_or_path"]) == work / "base"
    assert settings["fan_in_fan_out"] is True


def test_merging_is_possible_later(adapted, work):
    """Nothing is trained again: the checkpoints are gone."""
    before = (work / "adapted.merged" / "model.safetensors").read_bytes()
    for path in sorted((work / "adapted.merged").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (work / "adapted.merged").rmdir()
    (work / "adapted.run").rename(work / "elsewhere")
    tune(work, "adapted", task="retrieval", method="lora", merge=True)
    assert (work / "adapted.merged" / "model.safetensors").read_bytes() == before
    assert not (work / "adapted.run").exists()


def test_a_classifier_adapter_is_reloaded_and_merged_exactly(adapted_classifier, work):
    tokenizer = AutoTokenizer.from_pretrained(adapted_classifier)
    ways = {
        "peft": AutoPeftModelForSequenceClassification.from_pretrained(adapted_classifier, num_labels=4),
        "transformers": AutoModelForSequenceClassification.from_pretrained(adapted_classifier, num_labels=4),
        "merged": AutoModelForSequenceClassification.from_pretrained(work / "adapted classifier.merged"),
    }
    found = {way: logits(model, tokenizer) for way, model in ways.items()}
    assert torch.equal(found["peft"], found["transformers"])
    assert (found["peft"] - found["merged"]).abs().max() < 1e-6 * found["peft"].abs().max().clamp(min=1)
    assert ways["merged"].config.id2label == {0: "count", 1: "merge", 2: "parse", 3: "sort"}
    right = [ways["merged"].config.id2label[n] for n in found["merged"][64:80].argmax(-1).tolist()]
    accuracy = 100 * np.mean([label == row["label"] for label, row in zip(right, ROWS[64:80], strict=True)])
    assert record(adapted_classifier)["metrics"]["evaluation"]["fine-tuned"]["accuracy"] == pytest.approx(accuracy)


# Classification


def test_classes_are_learnt_and_measured(classified):
    model = AutoModelForSequenceClassification.from_pretrained(classified)
    rows = ROWS[80:]
    found = [
        model.config.id2label[n]
        for n in logits(model, AutoTokenizer.from_pretrained(classified), rows).argmax(-1).tolist()
    ]
    true = [row["label"] for row in rows]
    figures = record(classified)["metrics"]["test"]
    assert figures["fine-tuned"]["accuracy"] == pytest.approx(100 * accuracy_score(true, found))
    assert figures["fine-tuned"]["macro_f1"] == pytest.approx(100 * f1_score(true, found, average="macro"))
    (guess,) = (name for name in figures if name != "fine-tuned")
    assert figures["fine-tuned"]["accuracy"] > figures[guess]["accuracy"] + 30
    # Every Auto class of an exported folder opens what was saved, by its own code.
    assert set(model.config.auto_map) == {
        "AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification",
    }  # fmt: skip
    assert AutoModel.from_pretrained(classified).config.num_labels == 4


def test_macro_f1_counts_a_class_that_is_never_predicted():
    figures = measure_classes(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]))
    assert figures == {"accuracy": 75.0, "macro_f1": pytest.approx(100 * (0.8 + 1 + 0) / 3)}


@pytest.mark.parametrize("kind", ["numbers", "declared"])
def test_classes_keep_their_order(work, kind):
    numbers = [(10, 9, 2, 1)[number % 4] for number in range(16)]
    if kind == "numbers":
        table = Dataset.from_dict({"text": [row["text"] for row in ROWS[:16]], "label": numbers})
        expected = {0: "1", 1: "2", 2: "9", 3: "10"}
    else:
        features = Features({"text": Value("string"), "label": ClassLabel(names=["z", "never", "a"])})
        labels = [2 * (number % 2) for number in range(16)]
        table = Dataset.from_dict({"text": [row["text"] for row in ROWS[:16]], "label": labels}, features)
        expected = {0: "z", 1: "a"}
    table.to_parquet(work / f"{kind}.parquet")
    data = str(work / f"{kind}.parquet")
    output = tune(work, kind, task="classification", data=data, eval_data=data, steps=1)
    assert AutoModelForSequenceClassification.from_pretrained(output).config.id2label == expected


@pytest.mark.parametrize("name", ["classified", "adapted classifier.merged"])
def test_a_classifier_becomes_a_hub_folder(classified, adapted_classifier, work, tmp_path, name):
    hub = export(ExportConfig(model=work / name, output=tmp_path / "hub", dtype="bfloat16", license="mit"))
    assert {path.name for path in hub.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "attention_codesage.py", "configuration_codesage.py", "modeling_codesage.py",
    }  # fmt: skip
    trained, released = (AutoModelForSequenceClassification.from_pretrained(folder) for folder in (work / name, hub))
    assert released.dtype == torch.float32
    for key, value in trained.bfloat16().float().state_dict().items():
        assert torch.equal(released.state_dict()[key], value)
    card = (hub / "README.md").read_text()
    assert "| Classes | count, merge, parse, sort |" in card
    assert "pipeline_tag: text-classification" in card
    if name == "classified":
        figures = record(classified)["metrics"]["test"]["fine-tuned"]
        assert f"| test | fine-tuned | {figures['accuracy']:.1f} | {figures['macro_f1']:.1f} |" in card
    assert check_folder(hub) == []
    weights = load_file(hub / "model.safetensors")
    save_file(weights | {"classifier.bias": weights["classifier.bias"] * float("nan")}, hub / "model.safetensors")
    assert "classifier.bias holds NaN or Inf" in " ".join(check_folder(hub))
    del weights["classifier.bias"]
    save_file(weights, hub / "model.safetensors")
    assert "classifier.bias" in " ".join(check_folder(hub))


def test_an_adapter_is_not_exported_without_its_base(adapted, classified, tmp_path):
    with pytest.raises(ValueError, match="is an adapter: give the whole model that `finetune` writes with merge"):
        export(ExportConfig(model=adapted, output=tmp_path / "hub"))
    with pytest.raises(ValueError, match="is a classifier, for which there is no onnx, corpus"):
        export(ExportConfig(model=classified, output=tmp_path / "hub", onnx=True, corpus=tmp_path))
    assert not list(tmp_path.iterdir())


# Runs


def test_a_finished_run_is_left_as_it_is_and_another_is_refused(searched, work, capsys):
    before = {path: path.stat().st_mtime_ns for path in searched.rglob("*")}
    tune(work, "searched", task="retrieval", test_data=str(work / "test.jsonl"), steps=12)
    assert "is finished already" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"other settings \(learning_rate was 0.01, is 0.02\)"):
        tune(work, "searched", task="retrieval", test_data=str(work / "test.jsonl"), steps=12, learning_rate=2e-2)
    assert {path: path.stat().st_mtime_ns for path in searched.rglob("*")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("text", "answer")}, "no column answer: name the right ones of text, code, wrong, label, module"),
        ({"columns": ("text",)}, "retrieval needs a column of texts"),
        ({"model": "nowhere"}, "nowhere: There is no such folder, and as a Hub id it cannot be opened"),
        ({"model": "somebody/nothing", "task": "classification"}, "There is no such folder, and as a Hub id"),
        ({"max_length": 97}, "max_length is 97, but the model has positions for 96"),
        ({"batch_size": 65}, "64 rows do not fill a batch of 65"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"metric": "accuracy"}, "accuracy is no metric of retrieval: choose mrr or recall@10"),
        ({"merge": True}, "merge needs an adapter"),
        ({"steps": 0}, "steps must be positive"),
        ({"eval_share": 0.6}, "eval_share must be"),
        ({"group_column": "module"}, "leave it out with eval_data"),
        ({"trainer": {"learning_rates": 1}}, "has no 'learning_rates'"),
        ({"trainer": {"max_steps": 1}}, "max_steps is set by this command"),
        (
            {"task": "classification", "columns": ("text", "wrong")},
            "rows of the evaluation have the label",
        ),
        ({"task": "classification", "metric": "mrr"}, "mrr is no metric of classification"),
    ],
)
def test_what_can_not_work_is_refused(work, options, message):
    with pytest.raises(ValueError, match=message):
        tune(work, "refused", **({"task": "retrieval"} | options))
    assert not list(work.glob("refused*"))


def test_a_single_class_and_labels_of_another_kind_are_refused(work, tmp_path):
    same = tiny["write_rows"](tmp_path / "same.jsonl", [row | {"label": "x"} for row in ROWS[:4]])
    with pytest.raises(ValueError, match="all labels are 'x', and one class is nothing to learn"):
        tune(work, "refused", task="classification", data=str(same), eval_data=str(same))
    floats = tiny["write_rows"](tmp_path / "floats.jsonl", [row | {"label": 0.5} for row in ROWS[:4]])
    with pytest.raises(ValueError, match="label holds float64: labels are texts or whole numbers"):
        tune(work, "refused", task="classification", data=str(floats), eval_data=str(floats))


def test_folders_that_are_no_whole_model_are_refused(adapted, work, tmp_path):
    with pytest.raises(ValueError, match="is an adapter: start from a whole model"):
        tune(work, "refused", task="retrieval", model=str(adapted))
    (tmp_path / "empty").mkdir()
    for task in ("retrieval", "classification"):
        with pytest.raises(ValueError, match="is not a folder with model weights in safetensors"):
            tune(work, "refused", task=task, model=str(tmp_path / "empty"))
