"""Search sets: figures computed by hand for every protocol, a strict reader, BM25 and embeddings as rankers."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from open_codesage.train.evaluation.catalogue import find_tasks
from open_codesage.train.evaluation.tasks import read_task, restrict
from open_codesage.train.retrieval.protocols import (
    EmbeddingRanker,
    FusedRanker,
    WordRanker,
    measure_rankings,
    measure_task,
)
from open_codesage.train.retrieval.ranking import top_k
from open_codesage.train.retrieval.task import Task, Text


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
        ({"corpus": TWICE}, r"corpus\.jsonl\.gz:2: the _id 'd/1' is given twice"),
        ({"corpus": [{"text": "a"}]}, r"corpus\.jsonl\.gz:1: needed are"),
        ({"corpus": "{"}, r"corpus\.jsonl\.gz cannot be read"),
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


class OnDisk:
    """Embeddings that tell how many of them were read at once."""

    def __init__(self, path, rows):
        np.save(path, rows)
        self.rows, self.largest = np.load(path, mmap_mode="r"), 0
        self.shape = self.rows.shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, chosen):
        found = self.rows[chosen]
        self.largest = max(self.largest, len(found))
        return found


@pytest.mark.parametrize("among", [None, np.arange(0, 200, 3)])
def test_embeddings_on_disk_are_read_in_blocks_and_rank_as_the_dense_computation_does(tmp_path, among):
    generator = np.random.default_rng(0)
    # Few directions, many ties: the order of the documents has to decide across blocks.
    documents = generator.integers(-1, 2, (200, 3)).astype(np.float32) + np.float32(0.5)
    queries = generator.integers(-1, 2, (9, 3)).astype(np.float32) + np.float32(0.25)
    stored = OnDisk(tmp_path / "rows.npy", documents)
    found, _ = top_k(queries, stored, 50, query_block=4, document_block=16, among=among)
    numbers = np.arange(200) if among is None else among
    unit = documents[numbers] / np.linalg.norm(documents[numbers], axis=1, keepdims=True).astype(np.float64)
    cosines = (queries / np.linalg.norm(queries, axis=1, keepdims=True).astype(np.float64)) @ unit.T
    order = np.argsort(-cosines.round(6), axis=1, kind="stable")[:, :50]
    assert any(len(set(row.round(6))) < len(row) for row in np.take_along_axis(cosines, order, 1))
    assert np.array_equal(found.numpy(), numbers[order])
    assert stored.largest == 16


def test_languages_are_chosen_and_others_are_named():
    chosen = restrict(task(("full", "pairwise"), own=(frozenset({3}), frozenset({1}), frozenset())), ["php"])
    # Of the documents 2 and 3; a and b are go and fall out, though 3 answers a.
    assert [document.id for document in chosen.documents] == ["2", "3"]
    assert [query.id for query in chosen.queries] == ["c"]
    assert chosen.relevant == (frozenset({0}),)
    text = replace(chosen, queries=(Text("t", "t", "en"),))
    assert restrict(text, ["php"]).queries == text.queries
    with pytest.raises(ValueError, match="task set has no cobol: choose among go, php, ruby"):
        restrict(task(("full",)), ["cobol"])
    with pytest.raises(ValueError, match="no query has an answer in ruby"):
        restrict(task(("full",)), ["ruby"])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in of the Hub: the library reads a folder with the layout of a dataset repository."""
    folder = tmp_path / "repository"

    def put(**configs):
        folder.mkdir(exist_ok=True)
        lines = ["---", "configs:"]
        for name, (split, rows) in configs.items():
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            files = f"[{{split: {split}, path: {name}.jsonl}}]"
            lines += [f"- config_name: {name}", f"  data_files: {files}"]
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]))

    load, names, cache = datasets.load_dataset, datasets.get_dataset_config_names, str(tmp_path / "cache")
    monkeypatch.setattr(datasets, "load_dataset", lambda _, config: load(str(folder), config, cache_dir=cache))
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda _: names(str(folder)))
    return put


CORPUS = [{"_id": "d1", "title": "", "text": "read_file"}, {"_id": "d2", "title": "Sort", "text": "a list"}]
ASKED = [{"_id": "q1", "text": "sort"}, {"_id": "q2", "text": "never judged"}]
JUDGED = [{"query-id": "q1", "corpus-id": "d2", "score": 1.0}]


def test_a_set_of_the_hub_is_read_as_a_folder_is(hub):
    hub(corpus=("corpus", CORPUS), queries=("queries", ASKED), default=("test", JUDGED))
    (found,) = find_tasks(["user/found"])
    assert found.name == "found"
    assert [document.text for document in found.documents] == ["read_file", "Sort\na list"]
    assert [query.text for query in found.queries] == ["sort"]
    assert found.relevant == (frozenset({1}),)
    assert found.kind == "nl2code"


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"default": ("test", JUDGED)}, "has the configurations default, but a search set on the Hub has"),
        ({"corpus": ("corpus", CORPUS * 2)}, "user/found, corpus, row 3: the _id 'd1' is given twice"),
        ({"qrels": ("test", [{"query-id": "q1", "score": 1}])}, "qrels, row 1 has no 'corpus-id'"),
    ],
)
def test_a_dataset_of_the_hub_that_is_no_search_set_is_named(hub, configs, message):
    whole = {"corpus": ("corpus", CORPUS), "queries": ("queries", ASKED), "qrels": ("test", JUDGED)}
    hub(**configs if "default" in configs else whole | configs)
    with pytest.raises(ValueError, match=message):
        find_tasks(["user/found"])


def test_tasks_are_found_by_their_layout_and_told_apart_by_their_names(tmp_path):
    sets = tmp_path / "sets"
    sets.mkdir()
    write(sets / "one")
    write(sets / "two", packed=False)
    (sets / "notes").mkdir()
    assert [found.name for found in find_tasks([str(sets)])] == ["one", "two"]
    with pytest.raises(ValueError, match="are both called one: rename a folder"):
        find_tasks([str(sets / "one"), str(sets)])
    with pytest.raises(ValueError, match="notes is no task and holds none: a search set has"):
        find_tasks([str(sets / "notes")])
    with pytest.raises(ValueError, match=r"qrels\.tsv is a file, not a task"):
        find_tasks([str(sets / "one" / "qrels.tsv")])
    with pytest.raises(ValueError, match="there is no task cosqua: no such folder, and neither USER/NAME"):
        find_tasks(["cosqua"])


def test_bm25_weighs_words_by_all_documents():
    documents = ["alpha beta", "alpha", "beta gamma", "beta delta", "beta"]
    texts = tuple(Text(str(n), text, "x") for n, text in enumerate(documents))
    one = Task("set", (Text("q", "alpha beta", "x"),), texts, (frozenset({1}),), ("full",), (frozenset(),), "code2code")
    # Among 1 and 4 alone both words are as rare; over all, alpha is the rarer one.
    assert WordRanker(one).rank(np.array([0]), np.array([1, 4]), 2).tolist() == [[1, 4]]


class Given:
    """Ranks as it was told to."""

    def __init__(self, *ranking):
        self.ranking = np.array(ranking)

    def rank(self, queries, documents, depth):
        kept = self.ranking[np.isin(self.ranking, documents)]
        return np.stack([kept[:depth]] * len(queries))


def test_fused_rankings_are_those_of_reciprocal_ranks():
    one, other = Given(3, 0, 1, 2), Given(0, 2, 1, 3)
    everything = np.arange(4)
    scores = {
        n: 1 / (61 + one.ranking.tolist().index(n)) + 1 / (61 + other.ranking.tolist().index(n)) for n in range(4)
    }
    expected = sorted(scores, key=lambda number: -scores[number])
    assert expected[0] == 0  # first and second, so before 3, which is first and last
    assert FusedRanker(one, other).rank(np.array([0, 1]), everything, 4).tolist() == [expected] * 2
    assert FusedRanker(one, other).rank(np.array([0]), everything, 2).tolist() == [expected[:2]]
    assert FusedRanker(one, one).rank(np.array([0]), np.array([1, 2]), 2).tolist() == [[1, 2]]
    assert FusedRanker(Given(1, 0), Given(0, 1)).rank(np.array([0]), np.array([0, 1]), 2).tolist() == [[0, 1]]  # a tie
