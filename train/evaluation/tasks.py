"""Public search sets in one layout: queries, a corpus, judgements, and the protocol by which they are used.

Contract: `read_task(folder)` reads a folder in BEIR layout: `corpus.jsonl`, `queries.jsonl` (also .gz; objects with
`_id`, `text`, optionally `title` and `language`), `qrels.tsv` (or `qrels/test.tsv`; query, document, score), and
`meta.json`, which may say `protocol` and `exclude_self`. `measure_task` measures a ranker by every protocol of the set.

Protocols: `full` ranks the whole corpus; `same_language` ranks the documents of the query's language, and averages over
languages; `pairwise` ranks, for each language of queries and each of documents, the documents of that language, and
averages over those pairs. With `exclude_self` a query's own document, of the same `_id`, is left out. Queries without
an answer among the documents ranked do not count.

Invariant: an `_id` is never part of a text, since ids may carry the label.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import ir_measures
import numpy as np
import numpy.typing as npt
import torch

from .bm25 import BM25
from .ranking import mean_figures, top_k

PROTOCOLS = ("full", "same_language", "pairwise")

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Text:
    """A query or a document.

    Attributes:
        id: its name in the judgements.
        text: what a model is shown.
        language: its programming language, or that of natural text; "" if the set does not say.
    """

    id: str
    text: str
    language: str


@dataclass(frozen=True)
class Task:
    """A search set.

    Attributes:
        name: of the folder.
        queries: those with a judgement.
        documents: all of the corpus.
        relevant: for every query the numbers of the documents that answer it, at least one.
        protocols: some of `PROTOCOLS`.
        own: for every query the numbers of the documents that are left out for it: itself, or none.
    """

    name: str
    queries: tuple[Text, ...]
    documents: tuple[Text, ...]
    relevant: tuple[frozenset[int], ...]
    protocols: tuple[str, ...]
    own: tuple[frozenset[int], ...]


class Ranker(Protocol):
    """What can rank documents for queries."""

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """Rank some documents for some queries.

        Args:
            queries: numbers of queries of the task, int64 [Q].
            documents: numbers of documents of the task, int64 [N].
            depth: how many to give.

        Returns:
            Numbers of documents of the task, int64 [Q, min(depth, N)], best first.
        """


def read_task(folder: Path) -> Task:
    """Read a search set.

    Raises:
        ValueError: a file is missing or malformed, an id stands twice, a judgement names what is not there, or nothing
            is judged; the message names the file.
    """
    protocols, excludes = _read_meta(folder)
    documents, queries = (tuple(_read_texts(folder, name)) for name in ("corpus", "queries"))
    numbers = {document.id: number for number, document in enumerate(documents)}
    answers: dict[str, set[int]] = {query.id: set() for query in queries}
    qrels = next((path for path in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if path.is_file()), None)
    if qrels is None:
        raise ValueError(f"{folder} has no qrels.tsv: each line names a query, a document and a score")
    for line, row in enumerate(qrels.read_text(encoding="utf-8").splitlines()[1:], start=2):
        query, document, score = (*row.split("\t"), "", "")[:3]
        if query not in answers or document not in numbers:
            missing = f"query {query!r}" if query not in answers else f"document {document!r}"
            raise ValueError(f"{qrels}:{line}: there is no {missing} in the set")
        if not score.strip().lstrip("-").isdigit():
            raise ValueError(f"{qrels}:{line}: the score {score!r} is no whole number")
        if int(score) > 0:
            answers[query].add(numbers[document])
    judged = tuple(query for query in queries if answers[query.id])
    if not judged:
        raise ValueError(f"{qrels} judges no query with a score above 0: there is nothing to measure")
    task = Task(
        folder.name,
        judged,
        documents,
        tuple(frozenset(answers[query.id]) for query in judged),
        protocols,
        tuple(frozenset({numbers[query.id]} if excludes and query.id in numbers else ()) for query in judged),
    )
    unlabelled = [text.id for text in (*judged, *documents) if not text.language]
    if unlabelled and task.protocols != ("full",):
        raise ValueError(f"{folder}: {unlabelled[0]!r} has no language, which its protocol needs")
    return task


def _read_meta(folder: Path) -> tuple[tuple[str, ...], bool]:
    path = folder / "meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    protocols = meta.get("protocol", "full")
    protocols = (protocols,) if isinstance(protocols, str) else tuple(protocols)
    if unknown := [name for name in protocols if name not in PROTOCOLS]:
        raise ValueError(f"{path}: there is no protocol {unknown[0]!r}; known: {', '.join(PROTOCOLS)}")
    return protocols, bool(meta.get("exclude_self", False))


def _read_texts(folder: Path, name: str) -> Iterator[Text]:
    path = next((path for path in (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl") if path.is_file()), None)
    if path is None:
        raise ValueError(f"{folder} has no {name}.jsonl or {name}.jsonl.gz: this is no search set in BEIR layout")
    seen: set[str] = set()
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        try:
            for line, row in enumerate(map(json.loads, lines), start=1):
                if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("_id", "text")):
                    raise ValueError(f"{path}:{line}: needed are an object with the strings _id and text")
                if row["_id"] in seen:
                    raise ValueError(f"{path}:{line}: the _id {row['_id']!r} stands there twice")
                seen.add(row["_id"])
                title = row.get("title") or ""
                yield Text(row["_id"], f"{title}\n{row['text']}" if title else row["text"], row.get("language") or "")
        except (json.JSONDecodeError, UnicodeDecodeError, EOFError, OSError) as error:
            raise ValueError(f"{path} can not be read: {error}") from error
    if not seen:
        raise ValueError(f"{path} is empty")


def measure_task(task: Task, ranker: Ranker, depth: int = 1000, cutoff: int = 10) -> dict[str, dict[str, float]]:
    """Measure a ranker by every protocol of a task.

    Args:
        task: the search set.
        ranker: what is measured.
        depth: a document that is ranked lower counts as not found.
        cutoff: depth of recall and NDCG.

    Returns:
        By protocol: `mrr`, `map`, `map@r`, `recall@<cutoff>` and `ndcg@<cutoff>`, in percent; by `same_language` and
        `pairwise` also the MRR of every part, as `mrr <language>` or `mrr <source>-<target>`.

    Raises:
        ValueError: no query has an answer by some protocol.
    """
    return {protocol: _measure_protocol(task, ranker, protocol, depth, cutoff) for protocol in task.protocols}


def _measure_protocol(task: Task, ranker: Ranker, protocol: str, depth: int, cutoff: int) -> dict[str, float]:
    parts = {}
    for name, queries, documents in _parts(task, protocol):
        inside = frozenset(documents.tolist())
        answers = {number: (task.relevant[number] & inside) - task.own[number] for number in queries.tolist()}
        asked = [number for number, found in answers.items() if found]
        if asked:
            # One more, for the document that may have to go.
            ranked = ranker.rank(np.array(asked), documents, depth + 1)
            rankings = [
                [document for document in row.tolist() if document not in task.own[number]][:depth]
                for number, row in zip(asked, ranked, strict=True)
            ]
            parts[name] = measure_rankings(rankings, [answers[number] for number in asked], cutoff)
    if not parts:
        raise ValueError(f"{task.name}: by the protocol {protocol} no query has an answer")
    metrics = next(iter(parts.values())).keys()
    mean = {metric: float(np.mean([part[metric] for part in parts.values()])) for metric in metrics}
    return mean | ({f"mrr {name}": part["mrr"] for name, part in parts.items()} if protocol != "full" else {})


def measure_rankings(
    rankings: Sequence[Sequence[int]], relevant: Sequence[frozenset[int]], cutoff: int
) -> dict[str, float]:
    """Mean figures of some rankings, in percent.

    MAP@R is the average precision of the first R documents, for R relevant ones (CodeXGLUE).

    Args:
        rankings: numbers of documents, best first, for every query.
        relevant: the relevant documents of every query, at least one each.
        cutoff: depth of recall and NDCG.
    """
    names = {
        "mrr": ir_measures.RR,
        "map": ir_measures.AP,
        f"recall@{cutoff}": ir_measures.R @ cutoff,
        f"ndcg@{cutoff}": ir_measures.nDCG @ cutoff,
    }
    first = [ranking[: len(found)] for ranking, found in zip(rankings, relevant, strict=True)]
    return mean_figures(names, rankings, relevant) | mean_figures({"map@r": ir_measures.AP}, first, relevant)


def _parts(task: Task, protocol: str) -> Iterator[tuple[str, Numbers, Numbers]]:
    """The rankings that a protocol asks for: name, numbers of queries, numbers of documents."""
    if protocol == "full":
        yield "all", np.arange(len(task.queries)), np.arange(len(task.documents))
        return
    queries = np.array([query.language for query in task.queries])
    documents = np.array([document.language for document in task.documents])
    for source in sorted(set(queries.tolist())):
        for target in sorted(set(documents.tolist())):
            if protocol == "pairwise" or source == target:
                name = source if protocol == "same_language" else f"{source}-{target}"
                yield name, np.flatnonzero(queries == source), np.flatnonzero(documents == target)


class EmbeddingRanker:
    """Ranks by the cosines of embeddings.

    Args:
        queries: embeddings of the task's queries, float [Q, D].
        documents: embeddings of its documents, float [N, D].
    """

    def __init__(self, queries: torch.Tensor, documents: torch.Tensor) -> None:
        self.queries, self.documents = queries, documents

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """See `Ranker`."""
        return documents[top_k(self.queries[queries], self.documents[documents], depth)[0].numpy()]


class WordRanker:
    """Ranks by BM25, over one index of all documents.

    Args:
        task: the search set.
    """

    def __init__(self, task: Task) -> None:
        self._queries = [query.text for query in task.queries]
        self._index = BM25([document.text for document in task.documents])

    def rank(self, queries: Numbers, documents: Numbers, depth: int) -> Numbers:
        """See `Ranker`."""
        return self._index.rank([self._queries[number] for number in queries], depth, among=documents)
