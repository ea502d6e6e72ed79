"""The paper's protocols: lengths, comments and sizes; published figures stand only beside what was measured so."""

import numpy as np
import pytest
import torch
from open_codesage.train.evaluation.comments import task_without_comments, without_comments
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.cosines import PAIRS, cosine_histograms
from open_codesage.train.evaluation.paper_figures import FIGURES, MODELS
from open_codesage.train.evaluation.presets import PRESETS, treatment_of, with_preset
from open_codesage.train.evaluation.report import markdown
from open_codesage.train.retrieval.protocols import EmbeddingRanker
from open_codesage.train.retrieval.task import CODE2CODE, NL2CODE, Task, Text


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        (
            "python",
            '"""M é."""\ndef f(a):\n    """D # x"""\n    s = "# é"  # y\n    return s',
            'def f(a): s = "# é" return s',
        ),
        ("java", '/** d */ class A { // c\n\tString s = "http://x"; /* b */ }', 'class A { String s = "http://x"; }'),
        ("php", '<?php # a\n// b\n$x = "# // no"; ?>', '<?php $x = "# // no"; ?>'),
        ("ruby", "=begin\na\n=end\nx = '# no' # b\n", "x = '# no'"),
        ("typescript", "// a\nlet s = `//no ${x /* in */}`;", "let s = `//no ${x }`;"),
    ],
)
def test_comments_go_and_strings_stay(language, code, expected):
    assert without_comments(code, language) == (expected, True)


def test_what_can_not_be_parsed_keeps_its_comments_and_is_counted():
    texts = (
        Text("a", "x = 1  # one", "python"),
        Text("b", "x\0  # two", "python"),
        Text("c", "x  // three", "kotlin"),
        Text("d", "# only", "python"),
    )
    queries = (Text("q", "what # is\nthis", "en"),)
    task = Task("set", queries, texts, (frozenset({0}),), ("full",), (frozenset(),), NL2CODE)
    found, counts = task_without_comments(task)
    assert [text.text for text in found.documents] == ["x = 1", "x\0 # two", "x // three", "# only"]
    assert found.queries[0].text == "what # is this"
    assert counts == {"unparsable": 1, "without_grammar": 1}
    assert found.hash != task.hash


def settings(**given):
    return EvaluateConfig(models=("bm25",), tasks=("x",), **given)


def small(name="set", kind=NL2CODE, languages=("en", "python", "python")):
    query, *documents = languages
    texts = tuple(Text(f"d{number}", f"text {number}", language) for number, language in enumerate(documents))
    return Task(name, (Text("d0", "text", query),), texts, (frozenset({1}),), ("full",), (frozenset(),), kind)


def test_the_preset_paper_takes_lengths_and_comments_by_what_is_searched_with():
    text, code = (treatment_of(small(kind=kind), settings(preset="paper")) for kind in (NL2CODE, CODE2CODE))
    assert (text.query_max_length, text.document_max_length, text.remove_comments) == (128, 1024, False)
    assert (code.query_max_length, code.document_max_length, code.remove_comments) == (1024, 1024, True)
    own = treatment_of(small(), settings(preset="paper", max_length=64))
    assert (own.query_max_length, own.document_max_length) == (64, 64)
    plain = treatment_of(small(), settings(remove_comments=True))
    assert (plain.query_max_length, plain.document_max_length, plain.remove_comments) == (None, None, True)


def test_a_named_preset_ranks_as_the_paper_does_and_refuses_other_sizes(monkeypatch):
    with pytest.raises(ValueError, match=r"cosqa is 500 queries on 6,267 documents \(all\), but task set has 1 and 2"):
        with_preset(small(), "cosqa")
    with pytest.raises(ValueError, match="does not say every text's language, which the preset code2code needs"):
        with_preset(small(languages=("", "", "")), "code2code")
    found = with_preset(small(languages=("go", "go", "go")), "code2code")
    assert found.protocols == ("same_language",)
    assert found.own == (frozenset({0}),)  # of the query's id


def record(task, protocol, figures, sizes, removed=False, kind=NL2CODE):
    parts = {part: {"queries": sizes[part][0], "documents": sizes[part][1]} for part in figures}
    metric = PRESETS[task].metric if task in PRESETS else "mrr"
    return {
        "models": {"ours": {}},
        "tasks": {task: {"layout": "search", "kind": kind, "queries": 3, "documents": 4, "parts": {protocol: parts}}},
        "rows": [
            {"model": "ours", "task": task, "protocol": protocol, "part": part, "metric": metric, "value": value}
            for part, value in figures.items()
        ],
        "runs": [{"model": "ours", "task": task, "comments_removed": removed}],
    }


def test_published_figures_stand_beside_measured_ones_of_the_same_protocol_only():
    sizes = {"all": (500, 6267)}
    assert "| *CodeSage small, published* | 49.92 |" in markdown(record("cosqa", "full", {"all": 33.06}, sizes))
    others = (
        record("conala", "full", {"all": 33.06}, sizes),
        record("cosqa", "pairwise", {"all": 33.06}, sizes),
        record("cosqa", "full", {"all": 33.06}, {"all": (500, 6268)}),
        record("cosqa", "full", {"all": 33.06}, sizes, removed=True),
    )
    for other in others:
        text = markdown(other)
        assert "33.06" in text
        assert "published" not in text


def test_published_figures_by_language_stand_in_the_table_of_parts():
    sizes = {"all": (1, 1), **PRESETS["code2code"].sizes}
    figures = {"all": 30.0, "python": 31.5, "ruby": 28.5}
    text = markdown(record("code2code", "same_language", figures, sizes, removed=True, kind=CODE2CODE))
    assert "| ours | 31.50 | 28.50 |" in text
    assert "| *UniXcoder, published* | 30.77 | 32.33 |" in text
    kept = markdown(record("code2code", "same_language", figures, sizes, removed=False, kind=CODE2CODE))
    assert "published" not in kept


def test_every_published_row_has_a_figure_for_every_model_and_a_size():
    for name, parts in FIGURES.items():
        for part, values in parts.items():
            assert len(values) == len(MODELS)
            assert part in PRESETS[name].sizes


def test_classes_are_shown_with_their_spread():
    rows = [
        {"model": "ours", "task": "c", "protocol": "linear", "part": "all", "metric": metric, "value": value}
        for metric, value in (("macro_f1", 50.0), ("macro_f1 sd", 1.25), ("accuracy", 60.0))
    ]
    facts = {"layout": "classification", "train": 5, "valid": 2, "test": 3, "classes": 2}
    text = markdown({"models": {"ours": {}}, "tasks": {"c": facts}, "rows": rows, "runs": []})
    assert "5 train, 2 valid, 3 test rows, 2 classes." in text
    assert "| ours, linear layer on the frozen encoder | 50.00 ± 1.25 | 60.00 |" in text


def test_cosines_of_answers_and_of_random_pairs_are_counted_apart():
    texts = tuple(Text(str(number), str(number), "go") for number in range(4))
    relevant = tuple(frozenset({number}) for number in range(4))
    task = Task("set", texts, texts, relevant, ("full",), (frozenset(),) * 4, CODE2CODE)
    vectors = torch.eye(4) * torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    found = cosine_histograms(task, EmbeddingRanker(vectors, vectors.numpy()))
    edges = np.array(found["bins"])
    assert (edges[0], edges[-1], len(edges)) == (-1, 1, len(found["parallel"]) + 1)
    assert found["parallel"][-1] == sum(found["parallel"]) == 4  # all 1
    assert found["random"][50] == sum(found["random"])  # all 0
    assert 0.6 * PAIRS < sum(found["random"]) < 0.9 * PAIRS  # less those that are answers
    assert (found["parallel_mean"], found["random_mean"]) == (1, 0)
    assert found == cosine_histograms(task, EmbeddingRanker(vectors, vectors))
