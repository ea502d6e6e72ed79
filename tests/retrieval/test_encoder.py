"""A static model is cut, and its cut texts are counted, like any other; only its tokenizer can be told where."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main as evaluate
from open_codesage.train.retrieval.encoder import Encoder, limited, longest_input, open_sentence_model

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tiny_static.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny["write"](tmp_path_factory.mktemp("static") / "model")


def test_texts_are_cut_at_the_length_that_is_asked_for_and_counted(folder):
    encoder = Encoder(str(folder), 4, max_length=3, show_progress=False)
    texts = ["open the door of a shop", "open the door", ""]
    assert encoder.cut(texts, "document") == 1
    first, second, empty = encoder.documents(texts).numpy()
    np.testing.assert_array_equal(first, second)
    assert not empty.any()
    assert longest_input(encoder.model) == 512, "afterwards it is as before"
    assert np.abs(encoder.model.encode(texts)[0] - first).max() > 0.01
    with pytest.raises(ValueError, match=r"max_length is 513, but .* takes at most 512 tokens"):
        Encoder(str(folder), 4, max_length=513)


def test_a_table_without_a_limit_gets_one_for_a_while(folder):
    model = open_sentence_model(str(folder))
    model.tokenizer.no_truncation()
    assert longest_input(model) is None
    with limited(model, 2):
        assert longest_input(model) == 2
    assert longest_input(model) is None


def test_a_table_in_half_precision_computes_in_full(folder):
    assert {weight.dtype for weight in open_sentence_model(str(folder)).parameters()} == {torch.float32}


def test_evaluate_takes_it(folder, tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "open the door"}\n{"_id": "2", "text": "a shop"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "the open door of windows"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    config = EvaluateConfig(models=(str(folder),), tasks=(str(tmp_path),), output=tmp_path / "figures", max_length=4)
    evaluate(config)
    rows = json.loads((tmp_path / "figures" / "results.json").read_text())["rows"]
    assert {row["value"] for row in rows if row["metric"] == "mrr"} == {100.0}
