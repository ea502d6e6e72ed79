"""A search task: queries, documents, and which documents answer which query.

Contract: `held_out_search` makes the task that every evaluation of this package shares out of held-out functions,
`pair_search` one out of a user's own pairs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SearchTask:
    """Queries over one collection of documents.

    Attributes:
        protocol: how the task is made, for people.
        queries: text of every query.
        documents: text of every document.
        relevant: for every query the numbers of the documents that answer it, at least one.
    """

    protocol: str
    queries: list[str]
    documents: list[str]
    relevant: list[frozenset[int]]


def held_out_search(functions: Mapping[str, Sequence[str]]) -> SearchTask:
    """Make a search task: find the function by its summary.

    Every distinct summary is one query; the functions that have it are its answers. All functions given are documents.

    Args:
        functions: the columns `summary` and `code`, such as a dataset of `Corpus.functions("held_out")`.
    """
    answers: dict[str, set[int]] = {}
    for number, summary in enumerate(functions["summary"]):
        answers.setdefault(summary, set()).add(number)
    return SearchTask(
        protocol="summary to function without its documentation, among all held-out functions",
        queries=list(answers),
        documents=list(functions["code"]),
        relevant=[frozenset(numbers) for numbers in answers.values()],
    )


def pair_search(texts: Sequence[str], answers: Sequence[str], others: Sequence[str] = ()) -> SearchTask:
    """Make a search task: find the answers that stand beside a text.

    Every distinct text is one query, every distinct answer one document: what is equal can not be told apart.

    Args:
        texts: the text of each pair.
        answers: the answer of each pair.
        others: documents that answer nothing, such as the negatives of triplets.
    """
    documents = {document: number for number, document in enumerate(dict.fromkeys([*answers, *others]))}
    relevant: dict[str, set[int]] = {}
    for text, answer in zip(texts, answers, strict=True):
        relevant.setdefault(text, set()).add(documents[answer])
    return SearchTask(
        protocol="text to its answers, among all that are held out",
        queries=list(relevant),
        documents=list(documents),
        relevant=[frozenset(numbers) for numbers in relevant.values()],
    )


NL2CODE, CODE2CODE = "nl2code", "code2code"


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
        kind: what meta.json calls the task, such as `NL2CODE` or `CODE2CODE`, or else what the languages tell.
    """

    name: str
    queries: tuple[Text, ...]
    documents: tuple[Text, ...]
    relevant: tuple[frozenset[int], ...]
    protocols: tuple[str, ...]
    own: tuple[frozenset[int], ...]
    kind: str

    @property
    def hash(self) -> str:
        """SHA-256 over texts, languages, judgements and what is left out, in their order; ids do not count."""
        digest = hashlib.sha256()
        for text in (*self.documents, *self.queries):
            digest.update(json.dumps([text.text, text.language]).encode())
        for numbers in (*self.relevant, *self.own):
            digest.update(json.dumps(sorted(numbers)).encode())
        return digest.hexdigest()
