"""A static encoder learns from a teacher and pairs: its tokens, its table, its records, and interrupted runs."""

import importlib.util
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from open_codesage.train.common.static_model import is_static
from open_codesage.train.corpus.corpus import Corpus
from open_codesage.train.retrieval.encoder import Encoder
from open_codesage.train.retrieval.protocols import EmbeddingRanker, measure_task
from open_codesage.train.retrieval.task import held_out_search
from open_codesage.train.stages import distill
from open_codesage.train.stages.configs import DistillConfig
from open_codesage.train.stages.distill import main, widened
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer

SCRIPTS = Path(__file__).parents[1] / "scripts"
encoders = runpy.run_path(str(SCRIPTS / "tiny_encoders.py"))
LETTERS = ["def return read = ( ) : _ . a b c d e f g h i j k l m n o p q r s t u v w x y z the of"]
WORD = "header"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, and a teacher whose tokenizer has letters and no word of it."""
    folder = tmp_path_factory.mktemp("distill")
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPTS / "contrast_run.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_corpus(folder / "corpus")
    encoders["write"]("bert", folder / "teacher", [*LETTERS, "abcdefghijklmnopqrstuvwxyz"])
    return folder


def config(folder, output, **settings):
    given = {
        "epochs": 6.0, "variants": 1, "batch_size": 16, "text_max_length": 24, "code_max_length": 40, "eval_pairs": 30,
        "learning_rate": 1e-2, "logging_steps": 5, "token_dropout": 0.0,
    }  # fmt: skip
    given |= {"teacher": str(folder / "teacher"), "corpus": folder / "corpus"}
    return DistillConfig(output=output, **(given | settings))


@pytest.fixture(scope="module")
def distilled(folder):
    return main(config(folder, folder / "distilled"))


def record(folder):
    return json.loads((folder / "training.json").read_text())


def vocabulary(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()


def count_calls(monkeypatch):
    """Count what the teacher is asked for."""
    asked, embed = [], Encoder.embed

    def counted(self, texts, side):
        asked.extend(texts)
        return embed(self, texts, side)

    monkeypatch.setattr(Encoder, "embed", counted)
    return asked


def test_the_folder_opens_and_its_loss_has_fallen(distilled):
    assert is_static(distilled)
    log = record(distilled)["log"]
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert log[-1]["teacher_loss"] < 0.5 * log[0]["teacher_loss"]
    assert log[-1]["step"] == record(distilled)["steps"] == 6 * len(range(0, record(distilled)["pairs"] - 15, 16))
    assert record(distilled)["teacher"] == "teacher"
    vectors = SentenceTransformer(str(distilled), device="cpu").encode(["parse the header", "def f(): pass", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0], atol=1e-5)


def test_the_figure_of_the_record_is_that_of_the_folder(folder):
    """At the start, where not all is found: everything held out is asked for, so no choice is to be repeated."""
    output = main(config(folder, folder / "first step", epochs=0.01, learning_rate=1e-9, eval_pairs=1000))
    model, task = (
        Encoder(str(output), 8, show_progress=False),
        held_out_search(Corpus(folder / "corpus").functions("held_out")),
    )
    ranker = EmbeddingRanker(model.queries(task.query_texts), model.documents(task.document_texts))
    expected = measure_task(task, ranker)["full"]["all"]["mrr"]
    assert expected < 100
    assert record(output)["held_out_mrr"] == pytest.approx(expected, abs=0.5)


def test_the_tokenizer_is_the_teachers_widened_by_words_of_the_corpus(distilled, folder):
    before, after = vocabulary(folder / "teacher"), vocabulary(distilled)
    assert WORD not in before
    assert len(after) > len(before)
    assert after.items() >= before.items(), "no token of the teacher may change"
    assert sorted(after.values()) == list(range(len(after)))
    assert all(word.isalnum() for word in after.keys() - before.keys())
    teacher, tokenizer = (AutoTokenizer.from_pretrained(path) for path in (folder / "teacher", distilled))
    assert len(teacher.tokenize(WORD)) > 1
    assert tokenizer.tokenize(WORD) == [WORD]
    assert tokenizer("the")["input_ids"] == teacher("the", add_special_tokens=False)["input_ids"]


def test_the_vector_of_the_unknown_token_is_zero_and_no_other(distilled):
    rows = load_file(distilled / "model.safetensors")["embeddings"]
    assert rows.dtype == np.float16
    assert [number for number, row in enumerate(rows) if not row.any()] == [vocabulary(distilled)["[UNK]"]]


def test_the_vocabulary_has_the_size_that_was_asked_for(folder):
    teacher = AutoTokenizer.from_pretrained(folder / "teacher")
    pairs = Dataset.from_dict({"code": [f"{WORD} window"] * 9 + ["socket"] * 5 + ["rare"], "documentation": [""] * 15})
    assert widened(teacher, pairs, len(teacher) + 2).token_to_id("window") == len(teacher) + 1
    wide = widened(teacher, pairs, len(teacher) + 100)
    assert wide.get_vocab_size() == len(teacher) + 3, "only words that are frequent"
    assert widened(teacher, pairs, 10).get_vocab_size() == len(teacher)
    teacher.add_tokens(["<later>"])
    later = widened(teacher, pairs, len(teacher) + 1)
    assert later.encode(f"<later> {WORD}").ids == [len(teacher) - 1, len(teacher)]


@pytest.mark.parametrize("kind", ["roberta", "static"])
def test_a_teacher_whose_tokenizer_cannot_be_widened_is_refused(kind, folder, distilled, monkeypatch):
    asked = count_calls(monkeypatch)
    teacher = distilled if kind == "static" else encoders["write"](kind, folder / kind, LETTERS)
    with pytest.raises(ValueError, match=r"teacher's tokenizer is (a Tokenizer|BPE): only .*WordPiece can be widened"):
        main(config(folder, folder / "refused", teacher=str(teacher)))
    assert not (folder / "refused").exists()
    assert not asked


def test_dimensions_to_cut_to_are_below_those_of_the_table(folder):
    with pytest.raises(ValueError, match=r"matryoshka_dims are .*: give some below 32"):
        main(config(folder, folder / "refused", matryoshka_dims=(8, 32)))


def test_a_finished_run_is_not_done_again(distilled, folder, monkeypatch):
    monkeypatch.setattr(distill, "_distil", lambda *_: pytest.fail("it is finished"))
    before = (distilled / "training.json").read_bytes()
    assert main(config(folder, distilled)) == distilled
    assert main(config(folder, distilled, logging_steps=7)) == distilled, "which changes no weight"
    assert (distilled / "training.json").read_bytes() == before
    with pytest.raises(ValueError, match=r"other settings \(learning_rate was 0.01, is 0.02"):
        main(config(folder, distilled, learning_rate=0.02))


def test_the_teacher_is_not_asked_twice_after_an_interruption(distilled, folder, monkeypatch):
    asked = count_calls(monkeypatch)
    with monkeypatch.context() as context:
        context.setattr(distill, "_train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            main(config(folder, folder / "again"))
    assert len(asked) > 2 * 100
    assert not (folder / "again").exists()
    asked.clear()
    again = main(config(folder, folder / "again"))
    assert not asked
    assert (again / "model.safetensors").read_bytes() == (distilled / "model.safetensors").read_bytes()


def test_a_seed_gives_one_table(distilled, folder):
    same, other = (main(config(folder, folder / f"seed {seed}", seed=seed)) for seed in (0, 1))
    assert (same / "model.safetensors").read_bytes() == (distilled / "model.safetensors").read_bytes()
    assert (other / "model.safetensors").read_bytes() != (distilled / "model.safetensors").read_bytes()


def test_a_wider_table_without_the_teachers_similarities(folder, monkeypatch):
    asked = count_calls(monkeypatch)
    settings = {"dimensions": 40, "teacher_share": 0.0, "matryoshka_dims": (8,), "token_dropout": 0.3, "variants": 2}
    output = main(config(folder, folder / "wide", epochs=2.0, **settings))
    assert load_file(output / "model.safetensors")["embeddings"].shape == (len(vocabulary(output)), 40)
    assert len(asked) == len(vocabulary(output)), "the teacher has embedded each token, and no pair"
    assert {entry["teacher_loss"] for entry in record(output)["log"]} == {0.0}


def test_a_training_that_diverges_is_stopped_and_writes_nothing(folder):
    with pytest.raises(ValueError, match="the training has diverged"):
        main(config(folder, folder / "diverged", temperature=1e-44, logging_steps=1))
    assert not (folder / "diverged").exists()
