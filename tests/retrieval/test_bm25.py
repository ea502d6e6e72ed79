"""BM25 splits identifiers as people read them, scores by the formula, and ranks without chance."""

import math

import pytest
from open_codesage.train.retrieval.bm25 import BM25, K1, QUERY_WORDS, B, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("readFile", ["read", "file"]),
        ("read_file(path)", ["read", "file", "path"]),
        ("HTTPServer2Go", ["http", "server", "2", "go"]),
        ("__init__", ["init"]),
        ("parseJSON", ["parse", "json"]),
        ("x+=y[0];", ["x", "y", "0"]),
        ("Größe 数据 données", ["größe", "数据", "données"]),
        ("Über_cafe", ["über", "cafe"]),
        ("{}()", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


DOCUMENTS = [
    "def readFile(path): return path",
    "def write_file(path, data): data data",
    "class Socket: connect",
    "sort list",
]


def formula(query, number):
    """BM25 as Lucene computes it: the sum over query words of idf · tf / (tf + k1 · (1 − b + b · length / mean))."""
    documents = [split_words(document) for document in DOCUMENTS]
    mean = sum(map(len, documents)) / len(documents)
    total = 0.0
    for word in split_words(query):
        containing = sum(word in document for document in documents)
        if containing == 0:
            continue
        inverse = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
        frequency = documents[number].count(word)
        total += inverse * frequency / (frequency + K1 * (1 - B + B * len(documents[number]) / mean))
    return total


@pytest.mark.parametrize("query", ["read a file", "file data path", "Path", "write_file data def", "list sort connect"])
def test_the_ranking_is_that_of_the_formula(query):
    scores = [formula(query, number) for number in range(len(DOCUMENTS))]
    expected = sorted(range(len(DOCUMENTS)), key=lambda number: (-round(scores[number], 6), number))
    assert BM25(DOCUMENTS).rank([query], 10).tolist() == [expected]
    assert len(set(scores)) > 2


def test_identifiers_are_found_by_natural_language():
    assert BM25(DOCUMENTS).rank(["read file", "WriteFile"], 1).tolist() == [[0], [1]]


def test_ties_and_queries_without_known_words_keep_the_order_of_the_documents():
    index = BM25(["same words", "other", "same words", "same words"])
    assert index.rank(["same", "unknown", "", "()"], 4).tolist() == [[0, 2, 3, 1], *[[0, 1, 2, 3]] * 3]


def test_a_long_query_is_cut():
    index = BM25(["alpha", "beta"])
    assert index.rank(["x " * (QUERY_WORDS - 1) + "beta"], 1).tolist() == [[1]]
    assert index.rank(["x " * QUERY_WORDS + "beta"], 1).tolist() == [[0]]


def test_documents_without_words_are_an_error():
    with pytest.raises(ValueError, match="no document has a word in it"):
        BM25(["()", ""])
    assert BM25(["()", "one"]).rank(["one"], 2).tolist() == [[1, 0]]
