"""A search task measured by its protocols.

Contract: `measure_task` asks a ranker for the rankings that each protocol needs and gives the figures of every part
(a language, or a pair of them) and, as the part `all`, their mean, in percent.

Invariant: every ranker ranks the same queries against the same documents, so figures of one task, protocol and part
can stand side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import ir_measures
import numpy as np
import numpy.typing as npt

from ..common.metrics import mean_figures
from .bm25 import BM25
from .ranking import Vectors, top_k
from .task import ALL, Task

RECALL_DEPTHS = (1, 5, 10, 50, 100)

FUSED_DEPTH = 1000
"""Rankings are fused to this depth, however few documents are asked for."""

_RANK_OFFSET = 60

Numbers = npt.NDArray[np.int64]
Figures = dict[str, float]


class Ranker(Protocol):
    """What can rank documents for queries."""

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """Rank some documents for some queries.

        Args:
            queries: numbers of queries of the task, int64 [Q].
            documents: numbers of documents of the task, int64 [N], ascending.
            depth: how many to give.

        Returns:
            Numbers of documents of the task, int64 [Q, min(depth, N)], best first.
        """


@dataclass(frozen=True)
class Part:
    """What a protocol ranks at once.

    Attributes:
        name: a language, a pair of them, or `all`.
        queries: numbers of the queries that have an answer here, int64 [Q].
        documents: numbers of the documents that are ranked, int64 [N].
        answers: for every query the documents that answer it, at least one.
    """

    name: str
    queries: Numbers
    documents: Numbers
    answers: tuple[frozenset[int], ...]


def parts(task: Task, protocol: str) -> list[Part]:
    """The rankings that a protocol asks for.

    Raises:
        ValueError: no query has an answer.
    """
    found = []
    for name, queries, documents in _choices(task, protocol):
        inside = frozenset(documents.tolist())
        answers = {number: (task.relevant[number] & inside) - task.own[number] for number in queries.tolist()}
        if asked := [number for number, numbers in answers.items() if numbers]:
            found.append(Part(name, np.array(asked), documents, tuple(answers[number] for number in asked)))
    if not found:
        raise ValueError(f"{task.name}: by the protocol {protocol} no query has an answer")
    return found


def measure_task(task: Task, ranker: Ranker, depth: int = 1000, cutoff: int = 10) -> dict[str, dict[str, Figures]]:
    """Measure a ranker by every protocol of a task.

    Args:
        task: the search set.
        ranker: what is measured.
        depth: a document that is ranked lower counts as not found.
        cutoff: depth of NDCG, and of recall besides `RECALL_DEPTHS`.

    Returns:
        By protocol and part what `measure_rankings` gives. The part `all` is the mean over the other parts, or the only
        one.

    Raises:
        ValueError: no query has an answer by some protocol.
    """
    figures = {}
    for protocol in task.protocols:
        by_part = {part.name: _measure_part(task, ranker, part, depth, cutoff) for part in parts(task, protocol)}
        metrics = next(iter(by_part.values()))
        mean = {metric: float(np.mean([part[metric] for part in by_part.values()])) for metric in metrics}
        figures[protocol] = {ALL: mean} | by_part
    return figures


def _measure_part(task: Task, ranker: Ranker, part: Part, depth: int, cutoff: int) -> Figures:
    # One more, for the document that may have to go.
    ranked = ranker.rank(part.queries, part.documents, depth + 1)
    rankings = [
        [document for document in row.tolist() if document not in task.own[number]][:depth]
        for number, row in zip(part.queries, ranked, strict=True)
    ]
    return measure_rankings(rankings, part.answers, cutoff)


def measure_rankings(rankings: Sequence[Sequence[int]], relevant: Sequence[frozenset[int]], cutoff: int) -> Figures:
    """Mean figures of some rankings, in percent.

    MAP@R is the average precision of the first R documents, for R relevant ones (CodeXGLUE).

    Args:
        rankings: numbers of documents, best first, for every query.
        relevant: the relevant documents of every query, at least one each.
        cutoff: depth of NDCG, and of recall besides `RECALL_DEPTHS`.

    Returns:
        `mrr`, `map`, `map@r`, `ndcg@<cutoff>`, and `recall@<k>` for every depth, in percent.
    """
    names = {"mrr": ir_measures.RR, "map": ir_measures.AP, f"ndcg@{cutoff}": ir_measures.nDCG @ cutoff}
    names |= {f"recall@{depth}": ir_measures.R @ depth for depth in sorted({*RECALL_DEPTHS, cutoff})}
    first = [ranking[: len(found)] for ranking, found in zip(rankings, relevant, strict=True)]
    return mean_figures(names, rankings, relevant) | mean_figures({"map@r": ir_measures.AP}, first, relevant)


def _choices(task: Task, protocol: str) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Name, numbers of queries and numbers of documents of every part."""
    if protocol == "full":
        yield ALL, np.arange(len(task.queries)), np.arange(len(task.documents))
        return
    queries = np.array([query.language for query in task.queries])
    documents = np.array([document.language for document in task.documents])
    for source in sorted(set(queries.tolist())):
        for target in sorted(set(documents.tolist())):
            if protocol == "pairwise" or source == target:
                name = source if protocol == "same_language" else f"{source}-{target}"
                yield name, np.flatnonzero(queries == source), np.flatnonzero(documents == target)


class EmbeddingRanker:
    """Ranks by the cosines of embeddings, which may lie on disk: only blocks of them are read at once.

    Args:
        queries: embeddings of the task's queries, float [Q, D], in memory or memory-mapped.
        documents: embeddings of its documents, float [N, D], the same.
    """

    def __init__(self, queries: Vectors, documents: Vectors) -> None:
        self.queries, self.documents = queries, documents

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """See `Ranker`."""
        found, _ = top_k(self.queries[queries], self.documents, depth, among=documents)
        return found.numpy()


class WordRanker:
    """Ranks by BM25, over one index of all documents.

    Args:
        task: the search set.
    """

    def __init__(self, task: Task) -> None:
        self._queries = task.query_texts
        self._index = BM25(task.document_texts)

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """See `Ranker`."""
        return self._index.rank([self._queries[number] for number in queries], depth, among=documents)


class FusedRanker:
    """Ranks by several rankers at once: reciprocal rank fusion, which needs no scores and knows no weights to tune.

    A document scores 1 / (60 + its rank) with each ranker (Cormack et al., "Reciprocal rank fusion outperforms
    Condorcet and individual rank learning methods", SIGIR 2009). Ties are broken by the order of the documents.

    Args:
        rankers: what is fused; each is asked for `FUSED_DEPTH` documents at least.
    """

    def __init__(self, *rankers: Ranker) -> None:
        self.rankers = rankers

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """See `Ranker`."""
        rankings = [ranker.rank(queries, documents, max(depth, FUSED_DEPTH)) for ranker in self.rankers]
        return np.stack([_fuse([ranking[row] for ranking in rankings], depth) for row in range(len(queries))])


def _fuse(rankings: Sequence[Numbers], depth: int) -> Numbers:
    scores = np.concatenate([1 / (_RANK_OFFSET + 1 + np.arange(len(ranking))) for ranking in rankings])
    found, places = np.unique(np.concatenate(rankings), return_inverse=True)
    return found[np.argsort(-np.bincount(places, scores), kind="stable")[:depth]]
