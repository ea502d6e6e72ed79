"""Search sets: figures computed by hand for every protocol, a strict reader, BM25 and embeddings as rankers."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.train.evaluation.protocols import EmbeddingRanker, WordRanker, measure_rankings, measure_task
from open_codesage.train.evaluation.tasks import Task, Text, read_task


def test_figures_of_rankings_are_those_computed_by_hand():
    rankings = [[5, 1, 2, 3], [4, 0], [9, 8, 7]]
    relevant = [frozenset({1, 3}), frozenset({4}), frozenset({0})]
    figures = measure_rankings(rankings, relevant, cutoff=2)
    # Ranks of what is relevant: 2 and 4; 1; none.
    assert figures["mrr"] == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)
    assert figures["map"] == pytest.approx(100 * ((1 / 2 + 2 / 4) / 2 + 1 + 0) / 3)
    assert figures["map@r"] == pytest.approx(100 * ((1 / 2) / 2 + 1 + 0) / 3)
    assert figures["recall@2"] == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)
    gain = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert figures["ndcg@2"] == pytest.approx(100 * (gain + 1 + 0) / 3)


class Listed:
    """Ranks by a fixed order of all documents."""

    def __init__(self, order):
        self.order = order

    def rank(self, queries, documents, depth):
        inside = [number for number in self.order if number in set(documents.tolist())]
        return np.array([inside[:depth] for _ in queries])


def task(protocols, own=(frozenset(),) * 3):
    """Queries a (go), b (go), c (php); documents 0, 1 (go), 2, 3 (php), 4 (ruby, never an answer)."""
    queries = tuple(Text(name, name, language) for name, language in (("a", "go"), ("b", "go"), ("c", "php")))
    documents = tuple(Text(str(n), str(n), lang) for n, lang in enumerate(("go", "go", "php", "php", "ruby")))
    relevant = (frozenset({0, 3}), frozenset({1}), frozenset({2}))
    return Task("set", queries, documents, relevant, protocols, own, "code2code")


def test_each_protocol_ranks_its_own_documents_and_averages_over_its_parts():
    figures = measure_task(task(("full", "same_language", "pairwise")), Listed([4, 3, 2, 1, 0]))
    assert figures["full"]["all"]["mrr"] == pytest.approx(100 * (1 / 2 + 1 / 4 + 1 / 3) / 3)
    # go: a finds 0 at 2, b finds 1 at 1; php: c finds 2 at 2. Languages count the same.
    assert figures["same_language"]["all"]["mrr"] == pytest.approx(100 * ((1 / 2 + 1) / 2 + 1 / 2) / 2)
    assert figures["same_language"]["go"]["mrr"] == pytest.approx(75)
    # go-php: a finds 3 at 1 (b has no answer there); nothing answers from ruby, nor c in go.
    pairs = {part: metrics["mrr"] for part, metrics in figures["pairwise"].items()}
    assert pairs == pytest.approx({"all": 75, "go-go": 75, "go-php": 100, "php-php": 50})


def test_a_query_that_is_a_document_is_not_its_own_answer():
    own = (frozenset({3}), frozenset(), frozenset({3}))
    figures = measure_task(task(("full",), own), Listed([4, 3, 2, 1, 0]))["full"]["all"]
    assert figures["mrr"] == pytest.approx(100 * (1 / 4 + 1 / 4 + 1 / 2) / 3)


def test_depth_bounds_the_ranking():
    figures = measure_task(task(("full",)), Listed([4, 3, 2, 1, 0]), depth=2)["full"]["all"]
    assert figures["mrr"] == pytest.approx(100 * (1 / 2 + 0 + 0) / 3)


def write(folder: Path, meta=None, packed=True, **changes) -> Path:
    """Write a set of two documents and two queries, one of them without a judgement."""
    folder.mkdir()
    rows = {
        "corpus": [
            {"_id": "d/1", "text": "def read_file(path): ...", "language": "python"},
            {"_id": "d/2", "title": "Sorting", "text": "func SortList()", "language": "go"},
        ],
        "queries": [
            {"_id": "q", "text": "sort a list", "language": "en"},
            {"_id": "d/1", "text": "x", "language": "en"},
        ],
    } | changes
    for name, lines in rows.items():
        text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
        if packed:
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.jsonl").write_text(text)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td/2\t1\nq\td/1\t0\n")
    if meta is not None:
        (folder / "meta.json").write_text(meta if isinstance(meta, str) else json.dumps(meta))
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_a_set_is_read_with_its_protocol(tmp_path, packed):
    found = read_task(write(tmp_path / "set", {"protocol": ["full", "pairwise"], "exclude_self": True}, packed))
    assert [query.id for query in found.queries] == ["q"]
    assert [document.text for document in found.documents] == ["def read_file(path): ...", "Sorting\nfunc SortList()"]
    assert found.relevant == (frozenset({1}),)
    assert found.protocols == ("full", "pairwise")
    assert measure_task(found, WordRanker(found))["pairwise"]["en-go"]["mrr"] == 100
    assert read_task(write(tmp_path / "plain")).protocols == ("full",)


def test_a_query_of_a_documents_id_leaves_that_out_only_where_the_set_says_so(tmp_path):
    for excludes, own in ((True, frozenset({0})), (False, frozenset())):
        folder = write(tmp_path / str(excludes), {"exclude_self": excludes})
        (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nd/1\td/2\t1\n")
        assert read_task(folder).own == (own,)


TWICE = [{"_id": "d/1", "text": "a"}, {"_id": "d/1", "text": "b"}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": TWICE}, r"corpus\.jsonl\.gz:2: the _id 'd/1' stands there twice"),
        ({"corpus": [{"text": "a"}]}, r"corpus\.jsonl\.gz:1: needed are"),
        ({"corpus": "{"}, r"corpus\.jsonl\.gz can not be read"),
        ({"corpus": ""}, r"corpus\.jsonl\.gz is empty"),
        ({"corpus": [{"_id": "d/1", "text": "a"}]}, r"qrels\.tsv:2: there is no document 'd/2'"),
        ({"queries": [{"_id": "p", "text": "a"}]}, r"qrels\.tsv:2: there is no query 'q'"),
        ({"meta": {"protocol": "sideways"}}, "there is no protocol 'sideways'; known: full"),
        ({"meta": "{"}, r"meta\.json is not JSON"),
        ({"meta": {"protocol": "pairwise"}, "queries": [{"_id": "q", "text": "a"}]}, "'q' has no language"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_task(write(tmp_path / "set", **changes))


@pytest.mark.parametrize(
    ("missing", "message"),
    [("corpus.jsonl.gz", "no search set in BEIR layout"), ("qrels.tsv", "has no qrels.tsv")],
)
def test_a_missing_file_is_named(tmp_path, missing, message):
    (write(tmp_path / "set") / missing).unlink()
    with pytest.raises(ValueError, match=message):
        read_task(tmp_path / "set")


@pytest.mark.parametrize(("rows", "message"), [("q\td/2\t0", "judges no query"), ("q\td/2\tyes", "is no whole number")])
def test_judgements_that_say_nothing_are_refused(tmp_path, rows, message):
    folder = write(tmp_path / "set")
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}\n")
    with pytest.raises(ValueError, match=message):
        read_task(folder)


def test_embeddings_rank_the_chosen_documents_as_the_dense_computation_does():
    torch.manual_seed(0)
    queries, documents = torch.randn(3, 8), torch.randn(20, 8)
    chosen = np.array([2, 3, 5, 11, 17])
    rankings = EmbeddingRanker(queries, documents).rank(np.array([0, 2]), chosen, 3)
    cosines = torch.nn.functional.cosine_similarity(queries[[0, 2], None], documents[chosen][None], dim=-1)
    assert rankings.tolist() == chosen[cosines.argsort(descending=True)[:, :3].numpy()].tolist()


def test_bm25_weighs_words_by_all_documents():
    documents = ["alpha beta", "alpha", "beta gamma", "beta delta", "beta"]
    texts = tuple(Text(str(n), text, "x") for n, text in enumerate(documents))
    one = Task("set", (Text("q", "alpha beta", "x"),), texts, (frozenset({1}),), ("full",), (frozenset(),), "code2code")
    # Among 1 and 4 alone both words are as rare; over all, alpha is the rarer one.
    assert WordRanker(one).rank(np.array([0]), np.array([1, 4]), 2).tolist() == [[1, 4]]
