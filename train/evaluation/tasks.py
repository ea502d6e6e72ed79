"""Public search sets in one layout: queries, a corpus, judgements, and the protocol by which they are used.

Contract: `read_task(folder)` reads a folder in BEIR layout: `corpus.jsonl`, `queries.jsonl` (also .gz; objects with
`_id`, `text`, optionally `title` and `language`), `qrels.tsv` (or `qrels/test.tsv`; query, document, score), and
`meta.json`, which may say `protocol`, `exclude_self` and `task`. `make_task` makes the same of rows from elsewhere.

Protocols: `full` ranks the whole corpus; `same_language` ranks the documents of the query's language, and averages over
languages; `pairwise` ranks, for each language of queries and each of documents, the documents of that language, and
averages over those pairs. With `exclude_self` a query's own document, of the same `_id`, is left out. Queries without
an answer among the documents ranked do not count. A score above 0 makes an answer; scores are not distinguished.

Invariant: an `_id` is never part of a text, since ids may carry the label.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..retrieval.task import CODE2CODE, NL2CODE, Task, Text

PROTOCOLS = ("full", "same_language", "pairwise")


class Rows(NamedTuple):
    """Rows of a file or of another source.

    Attributes:
        where: names the source in messages.
        rows: where a row stands, and the row.
    """

    where: str
    rows: Iterable[tuple[str, Any]]


def read_task(folder: Path) -> Task:
    """Read a search set.

    Raises:
        ValueError: a file is missing or malformed, an id stands twice, a judgement names what is not there, or nothing
            is judged; the message names the file.
    """
    corpus, queries = (_text_file(folder, name) for name in ("corpus", "queries"))
    qrels = next((path for path in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if path.is_file()), None)
    if qrels is None:
        raise ValueError(f"{folder} has no qrels.tsv: each line names a query, a document and a score")
    rows = Rows(str(corpus), _read_rows(corpus)), Rows(str(queries), _read_rows(queries))
    return make_task(folder.name, *rows, Rows(str(qrels), _read_judgements(qrels)), _read_meta(folder / "meta.json"))


def make_task(
    name: str,
    corpus: Rows,
    queries: Rows,
    judgements: Rows,
    meta: Mapping[str, Any],
) -> Task:
    """Make a task of rows in BEIR's form.

    Args:
        name: what the task is called.
        corpus: rows with the strings `_id` and `text`, and optionally `title` and `language`.
        queries: the same.
        judgements: rows of a query, a document and a score.
        meta: `protocol`, `exclude_self`, `task`, each optional.

    Raises:
        ValueError: as `read_task`.
    """
    protocols = meta.get("protocol", "full")
    protocols = (protocols,) if isinstance(protocols, str) else tuple(protocols)
    if unknown := [protocol for protocol in protocols if protocol not in PROTOCOLS]:
        raise ValueError(f"meta.json of {name}: there is no protocol {unknown[0]!r}; known: {', '.join(PROTOCOLS)}")
    documents, asked = tuple(_texts(corpus)), tuple(_texts(queries))
    numbers = {document.id: number for number, document in enumerate(documents)}
    answers: dict[str, set[int]] = {query.id: set() for query in asked}
    for place, (query, document, score) in judgements.rows:
        if query not in answers or document not in numbers:
            missing = f"query {query!r}" if query not in answers else f"document {document!r}"
            raise ValueError(f"{place}: there is no {missing} in the set")
        if not str(score).strip().lstrip("-").isdigit():
            raise ValueError(f"{place}: the score {score!r} is no whole number")
        if int(score) > 0:
            answers[query].add(numbers[document])
    judged = tuple(query for query in asked if answers[query.id])
    if not judged:
        raise ValueError(f"{judgements.where} judges no query with a score above 0: there is nothing to measure")
    unlabelled = [text.id for text in (*judged, *documents) if not text.language]
    if unlabelled and protocols != ("full",):
        raise ValueError(f"{name}: {unlabelled[0]!r} has no language, which its protocol needs")
    excludes = bool(meta.get("exclude_self", False))
    return Task(
        name,
        judged,
        documents,
        tuple(frozenset(answers[query.id]) for query in judged),
        protocols,
        tuple(frozenset({numbers[query.id]} if excludes and query.id in numbers else ()) for query in judged),
        str(meta.get("task") or _kind(judged, documents)),
    )


def _kind(queries: Iterable[Text], documents: Iterable[Text]) -> str:
    """Queries that are all in languages of documents are code; those without a language are text."""
    known = {document.language for document in documents} - {""}
    return CODE2CODE if all(query.language in known for query in queries) else NL2CODE


def restrict(task: Task, languages: Iterable[str]) -> Task:
    """Keep the documents of some languages, and the queries that have an answer among them.

    Queries in a language that no document has, such as English, are kept; of those in a programming language, only the
    ones in the languages given.

    Raises:
        ValueError: no document is in one of the languages, or no query is left.
    """
    wanted = frozenset(languages)
    present = sorted({document.language for document in task.documents})
    if absent := sorted(wanted - set(present)):
        raise ValueError(f"task {task.name} has no {', '.join(absent)}: choose among {', '.join(present)}")
    kept = [number for number, document in enumerate(task.documents) if document.language in wanted]
    places = {number: place for place, number in enumerate(kept)}
    moved = [frozenset(places[number] for number in found if number in places) for found in task.relevant]
    asked = [
        number
        for number, query in enumerate(task.queries)
        if moved[number] and (query.language in wanted or query.language not in present)
    ]
    if not asked:
        raise ValueError(f"task {task.name}: no query has an answer in {', '.join(sorted(wanted))}")
    return replace(
        task,
        queries=tuple(task.queries[number] for number in asked),
        documents=tuple(task.documents[number] for number in kept),
        relevant=tuple(moved[number] for number in asked),
        own=tuple(frozenset(places[own] for own in task.own[number] if own in places) for number in asked),
    )


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise ValueError(f"{path} holds a {type(meta).__name__}, but has to hold a JSON object")
    return meta


def _text_file(folder: Path, name: str) -> Path:
    path = next((path for path in (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl") if path.is_file()), None)
    if path is None:
        raise ValueError(f"{folder} has no {name}.jsonl or {name}.jsonl.gz: this is no search set in BEIR layout")
    return path


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of a JSON-lines file, with the place where it stands."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        try:
            for line, row in enumerate(map(json.loads, lines), start=1):
                yield f"{path}:{line}", row
        except (json.JSONDecodeError, UnicodeDecodeError, EOFError, OSError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error


def _read_judgements(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line, row in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        yield f"{path}:{line}", (*row.split("\t"), "", "")[:3]


def _texts(source: Rows) -> Iterator[Text]:
    seen: set[str] = set()
    for place, row in source.rows:
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("_id", "text")):
            raise ValueError(f"{place}: needed are an object with the strings _id and text")
        if row["_id"] in seen:
            raise ValueError(f"{place}: the _id {row['_id']!r} is given twice")
        seen.add(row["_id"])
        title = row.get("title") or ""
        yield Text(row["_id"], f"{title}\n{row['text']}" if title else row["text"], row.get("language") or "")
    if not seen:
        raise ValueError(f"{source.where} is empty: there is nothing to measure")
