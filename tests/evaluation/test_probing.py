"""Classification sets: a strict reader, a linear layer on embeddings, fine-tuning by seeds, and words."""

import gzip
import json
import runpy
from pathlib import Path

import pytest
import torch
from open_codesage.train.evaluation.classification_tasks import PARTS, read_classification
from open_codesage.train.evaluation.probing import (
    SETTINGS,
    Settings,
    classify_by_words,
    linear_probe,
    measure_classification,
    pooled,
)
from open_codesage.train.stages import finetune
from sentence_transformers import SentenceTransformer

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "finetune_tiny.py"))
ROWS = tiny["rows"]()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A set of 64, 16 and 16 rows in four classes, one file of them packed."""
    folder = tmp_path_factory.mktemp("verbs")
    for part, rows in (("train", ROWS[:64]), ("valid", ROWS[64:80]), ("test", ROWS[80:])):
        tiny["write_rows"](folder / f"{part}.jsonl", rows)
    (folder / "valid.jsonl.gz").write_bytes(gzip.compress((folder / "valid.jsonl").read_bytes()))
    (folder / "valid.jsonl").unlink()
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny["base"](tmp_path_factory.mktemp("base") / "model"))


def test_a_set_is_read_with_the_classes_of_its_training_rows(folder):
    task = read_classification(folder)
    assert task.name == folder.name
    assert task.classes == ("count", "merge", "parse", "sort")
    assert {part: len(task.rows[part].texts) for part in PARTS} == {"train": 64, "valid": 16, "test": 16}
    assert [task.classes[number] for number in task.numbers("test")] == [row["label"] for row in ROWS[80:]]


def row(label, text="x = 1"):
    return json.dumps({"text": text, "label": label})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test.jsonl", None, "has no test.jsonl or test.jsonl.gz"),
        ("test.jsonl", "", "test.jsonl is empty"),
        ("test.jsonl", "{", "test.jsonl cannot be read"),
        ("valid.jsonl", row("a") + "\n[1]", "valid.jsonl:2: needed is an object with a text"),
        ("valid.jsonl", row("a", " "), "valid.jsonl:1: needed is an object with a text"),
        ("valid.jsonl", row(None), "valid.jsonl:1: the label None is neither"),
        ("valid.jsonl", row(1.5), "valid.jsonl:1: the label 1.5 is neither"),
        ("test.jsonl", row("c"), "test.jsonl has the label 'c', which .*train.jsonl lacks"),
        ("train.jsonl", row("a"), "all labels are 'a', and one class is nothing to learn"),
    ],
)
def test_what_is_no_classification_set_is_refused_by_the_file(tmp_path, file, content, message):
    for part in PARTS:
        (tmp_path / f"{part}.jsonl").write_text(f"{row('a')}\n{row('b')}\n")
    read_classification(tmp_path)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_classification(tmp_path)


def clouds(count, distance, seed=0):
    """Points around three centres, `distance` apart."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.arange(count) % 3
    return torch.randn(count, 8, generator=generator) + distance * torch.eye(8)[numbers], numbers


def parts(distance):
    made = {
        part: clouds(count, distance, seed) for seed, (part, count) in enumerate(zip(PARTS, (300, 90, 90), strict=True))
    }
    return {part: points for part, (points, _) in made.items()}, {part: numbers for part, (_, numbers) in made.items()}


def test_a_linear_layer_finds_what_is_there_and_nothing_else():
    embeddings, labels = parts(distance=8.0)
    assert linear_probe(embeddings, labels, [0])["accuracy"].mean > 95
    embeddings, labels = parts(distance=0.0)
    assert linear_probe(embeddings, labels, [0])["accuracy"].mean < 50


def test_a_probe_is_a_function_of_its_seed():
    embeddings, labels = parts(distance=1.5)
    torch.manual_seed(7)
    one = linear_probe(embeddings, labels, [3, 4, 5])["macro_f1"]
    before = torch.random.get_rng_state()
    assert linear_probe(embeddings, labels, [4])["macro_f1"].values == one.values[1:2]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(set(one.values)) > 1
    mean = sum(one.values) / 3
    assert one.mean == pytest.approx(mean)
    assert one.sd == pytest.approx((sum((value - mean) ** 2 for value in one.values) / 2) ** 0.5)
    assert linear_probe(embeddings, labels, [4])["macro_f1"].sd is None


def test_the_validation_rows_choose_the_epoch():
    """With a learning rate that overshoots, the epochs differ; validation rows that are the test rows choose theirs."""
    embeddings, labels = parts(distance=1.5)
    wild = Settings(learning_rate=1.0, epochs=8)
    chosen = linear_probe(embeddings | {"valid": embeddings["test"]}, labels | {"valid": labels["test"]}, [0], wild)
    misled = linear_probe(embeddings | {"valid": -embeddings["test"]}, labels | {"valid": labels["test"]}, [0], wild)
    assert chosen["macro_f1"].mean > misled["macro_f1"].mean


def test_embeddings_that_are_not_finite_are_refused():
    embeddings, labels = parts(distance=1.0)
    embeddings["valid"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        linear_probe(embeddings, labels, [0])


def test_the_settings_are_those_of_the_paper():
    assert SETTINGS["linear"] == Settings(1e-3, 10, batch_size=32, weight_decay=0.01, warmup_steps=10)
    assert SETTINGS["full"] == Settings(1e-5, 5, batch_size=32, weight_decay=0.01, warmup_steps=10)


def test_a_frozen_encoder_is_measured_on_means_that_keep_their_length(folder, base, tmp_path):
    from sentence_transformers.base.modules.normalize import Normalize

    mean = SentenceTransformer(base, device="cpu")
    model = SentenceTransformer(modules=[*mean, Normalize()], device="cpu")
    texts = [row["text"] for row in ROWS[:5]]
    expected = mean.encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(pooled(model, 2)(texts), expected)
    assert (expected.norm(dim=1) - 1).abs().min() > 0.1
    task = read_classification(folder)
    figures = measure_classification(task, pooled(model, 16), "", "linear", [0, 1], tmp_path / "none")
    assert len(figures["accuracy"].values) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("method", "seeds"), [("full", [2]), ("lora", [0, 1])])
def test_fine_tuning_learns_what_the_texts_say_and_is_not_repeated(folder, base, tmp_path, method, seeds, monkeypatch):
    task = read_classification(folder)
    settings = Settings(learning_rate=1e-2, epochs=3, batch_size=16, warmup_steps=2)
    arguments = (task, None, base, method, seeds, tmp_path, settings)
    figures = measure_classification(*arguments)
    assert figures["accuracy"].mean > 60  # 25 by chance
    records = [json.loads((tmp_path / f"seed-{seed}" / "training.json").read_text()) for seed in seeds]
    assert [record["settings"]["method"] for record in records] == [method] * len(seeds)
    assert figures["macro_f1"].values == [record["metrics"]["test"]["fine-tuned"]["macro_f1"] for record in records]
    # Only the records stay, and they are enough.
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["training.json"] * len(seeds)
    monkeypatch.setattr(finetune, "_train", lambda *arguments: pytest.fail("trained again"))
    assert measure_classification(*arguments) == figures
    with pytest.raises(ValueError, match="settings"):
        measure_classification(*arguments[:-1], Settings(learning_rate=1e-3, epochs=3, batch_size=16, warmup_steps=2))


def test_words_tell_classes_that_are_named(folder, tmp_path):
    figures = measure_classification(read_classification(folder), None, "words", "words", [], tmp_path)
    assert figures["accuracy"] == (100.0, None, [100.0])


def test_words_know_nothing_of_what_words_do_not_say(tmp_path):
    for part in PARTS:
        tiny["write_rows"](
            tmp_path / f"{part}.jsonl", [{"text": "a b c", "label": f"l{number % 2}"} for number in range(8)]
        )
    assert classify_by_words(read_classification(tmp_path))["accuracy"].mean == 50


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_some_and_different(folder, tmp_path, seeds):
    with pytest.raises(ValueError, match="give at least one, and none twice"):
        measure_classification(read_classification(folder), None, "m", "full", seeds, tmp_path)


def test_a_linear_layer_needs_embeddings(folder, tmp_path):
    with pytest.raises(ValueError, match="give embed"):
        measure_classification(read_classification(folder), None, "m", "linear", [0], tmp_path)
