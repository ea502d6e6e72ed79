"""The ranking is the sum of the signals; each signal says what it says."""

import re

import numpy as np
import pytest
from open_codesage.train.search import ranking, signals
from open_codesage.train.search.collection import Collection, IndexedUnit
from open_codesage.train.search.coverage import Names
from open_codesage.train.search.ranking import FURTHER, rank
from open_codesage.train.search.signals import FILE_SIGNALS, PENALTIES, UNIT_SIGNALS, Question
from open_codesage.train.search.words import K1, PATH_REPEATS, B, query_words, word_keys, words_of

FILES = {
    "src/router.py": [
        ("class", ("Router",), "class Router: matches a path with its routes"),
        ("function", ("add_route",), "def add_route(self, path): self.routes.append(path)"),
        ("function", ("match",), "def match(self, path): return first route that matches the path"),
    ],
    "src/util/config_loader.py": [("function", ("load",), "def load(name): read the configuration file and parse it")],
    "tests/test_router.py": [("function", ("test_match",), "def test_match(): assert Router().match(path) is a route")],
    "src/__init__.py": [("code", (), "from .router import Router")],
}


def collection(files=FILES, seed=0):
    units, keys = [], []
    for number, rows in enumerate(files.values()):
        for line, (kind, names, text) in enumerate(rows, start=1):
            units.append(IndexedUnit(number, kind, names, (), text, line, line))
            keys.append(word_keys(words_of(text)))
    embeddings = np.random.default_rng(seed).normal(size=(len(units), 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    counts = np.array(list(map(len, keys)))
    return Collection(list(files), ["python"] * len(files), units, embeddings, np.concatenate(keys), counts)


def ask(text, searched=None):
    searched = searched or collection()
    embedding = np.zeros(searched.embeddings.shape[1], dtype=np.float32)
    embedding[0] = 1
    return Question(text, embedding, searched)


def standard(values):
    return (values - values.mean()) / values.std()


def bm25(documents, words):
    """BM25 as it is defined, one word and document at a time."""
    mean = np.mean([len(each) for each in documents])
    scores = np.zeros(len(documents))
    for word in words:
        having = sum(word in each for each in documents)
        weight = np.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        for number, each in enumerate(documents):
            count = each.count(word)
            scores[number] += weight * count * (K1 + 1) / (count + K1 * (1 - B + B * len(each) / mean))
    return scores


def test_word_scores_are_those_of_a_direct_computation():
    asked = ask("how does the router match routes of a path")
    words = query_words(asked.text)
    assert words == ["router", "match", "rout", "path"]
    paths = [words_of(path.removesuffix(".py")) for path in FILES]
    units = [
        words_of(text) + PATH_REPEATS * paths[number] for number, rows in enumerate(FILES.values()) for *_, text in rows
    ]
    files = [
        [word for *_, text in rows for word in words_of(text)] + PATH_REPEATS * paths[number]
        for number, rows in enumerate(FILES.values())
    ]
    np.testing.assert_allclose(asked.word_scores.units, bm25(units, words))
    np.testing.assert_allclose(asked.word_scores.files, bm25(files, words))
    assert len(set(asked.word_scores.units)) > 3


def test_a_score_is_the_weighted_sum_of_all_signals():
    asked = ask("how routes match")
    cosines = asked.searched.embeddings[:, 0]
    np.testing.assert_allclose(signals.encoder(asked), standard(cosines.astype(float)), atol=1e-6)
    means = np.array([asked.searched.embeddings[asked.searched.file_of == n].mean(0) for n in range(len(FILES))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(signals.file_encoder(asked), standard(means[:, 0].astype(float)), atol=1e-5)
    of_files = sum(weight * signal(asked) for signal, weight in FILE_SIGNALS.items()) - signals.penalties(asked)
    total = of_files[asked.searched.file_of] + sum(weight * signal(asked) for signal, weight in UNIT_SIGNALS.items())
    np.testing.assert_allclose(ranking.score(asked), total)


def test_results_of_one_file_take_turns_with_others():
    asked = ask("match path")
    scores = ranking.score(asked)
    lowered, seen = [], {}
    for unit in np.argsort(-scores, kind="stable"):
        file = int(asked.searched.file_of[unit])
        lowered.append((scores[unit] - FURTHER * seen.get(file, 0), unit))
        seen[file] = seen.get(file, 0) + 1
    wanted = [unit for _, unit in sorted(lowered, key=lambda each: -each[0])]
    for k in (1, 2, 4, 100):
        assert [each.unit for each in rank(asked, k)] == wanted[:k]
    best = np.argsort(-scores, kind="stable")[:3]
    assert len({*asked.searched.file_of[best].tolist()}) < len({*asked.searched.file_of[wanted[:3]].tolist()}) == 3


def test_what_may_not_be_given_does_not_change_the_scores():
    asked = ask("match path")
    among = np.array([True, False, False, True, False, True])
    everything = {each.unit: ranking.score(asked)[each.unit] for each in rank(asked, 100)}
    some = rank(asked, 100, among)
    assert {each.unit for each in some} == {0, 3, 5}
    assert all(each.score == pytest.approx(everything[each.unit]) for each in some)


@pytest.mark.parametrize(
    ("query", "defines"),
    [
        ("Router", {0: 1.6}),
        ("router", {0: 1.6}),
        ("add_route", {1: 1.6 * 0.7}),
        ("how Router picks", {0: 0.6}),
        ("why add_route appends", {1: 0.7}),
        ("why a router", {}),
        ("Pkg::Router", {0: 1.6}),
        ("load", {3: 1.6 * 0.7}),
        ("load the file", {}),
    ],
)
def test_the_definition_of_a_symbol(query, defines):
    scores = signals.definition(ask(query))
    assert {number: pytest.approx(value) for number, value in enumerate(scores) if value} == defines


def test_names_of_files_and_folders():
    asked = ask("how is the configuration loaded in util")
    best = int(np.argmax(signals.file_name(asked)))
    assert asked.searched.paths[best] == "src/util/config_loader.py"
    assert np.flatnonzero(signals.folder_name(asked)).tolist() == [1]


def test_names_are_covered_by_shares():
    names = Names([["router"], ["test", "router"], ["serializer"], []])
    cover = names.cover(["router", "serialization"], np.array([1.0, 3.0]))
    np.testing.assert_allclose(cover.recall, [0.25, 0.25, 0.75 * 0.8, 0])
    np.testing.assert_allclose(cover.precision, [1, 0.5, 0.8, 0])


def test_files_are_lowered_unless_the_query_asks_for_them():
    lowered = dict(zip(FILES, signals.penalties(ask("match a path")), strict=True))
    assert lowered["src/router.py"] == 0
    assert lowered["tests/test_router.py"] == PENALTIES["test"].weight
    assert lowered["src/__init__.py"] == PENALTIES["re-export"].weight
    assert dict(zip(FILES, signals.penalties(ask("tests of the router")), strict=True))["tests/test_router.py"] == 0


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *(
            ("test", path)
            for path in ("a_test.go", "spec/a.rb", "src/FooTest.java", "a.spec.ts", "tests/a.rs", "x/conftest.py")
        ),
        *(("example", path) for path in ("examples/a.py", "docs/conf.py")),
        *(("vendored", path) for path in ("vendor/a/b.go", "third_party/x.c")),
        *(("compatibility", path) for path in ("pkg/v1/a.py", "src/legacy/a.js", "a_compat.py")),
        *(("declaration", path) for path in ("a.d.ts", "b.pyi")),
    ],
)
def test_paths_that_are_lowered(kind, path):
    assert PENALTIES[kind].path.search(path)
    assert not PENALTIES[kind].path.search("src/contest/attestation/latest.py")


def test_words_meet_whatever_their_endings():
    pairs = (("closing", "close"), ("connections", "connection"), ("parsed", "parse"), ("queries", "query"))
    for one, other in (*pairs, ("matches", "match"), ("stopped", "stop"), ("classes", "class"), ("routes", "routing")):
        assert words_of(one) == words_of(other), (one, other)
    assert words_of("class bus red") == ["class", "bus", "red"]
    assert query_words("how is it") == ["how", "is", "it"]  # there is nothing else
    assert re.fullmatch(r"\w+", "".join(words_of("HTTPServer.read_line(2)")))


def test_the_order_does_not_depend_on_how_parts_are_joined():
    whole = collection()
    one, other = dict(list(FILES.items())[:2]), dict(list(FILES.items())[2:])
    parts = [collection(one), collection(other)]
    for part, units in zip(parts, (whole.embeddings[:4], whole.embeddings[4:]), strict=True):
        part.embeddings = units
    joined = Collection.joined(parts)
    assert rank(ask("match a path", joined), 10) == rank(ask("match a path", whole), 10)
