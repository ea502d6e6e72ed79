"""A search task: queries, documents, and which documents answer which query.

Contract: `held_out_search` makes the task that every evaluation of this package shares out of held-out functions,
`pair_search` one out of a user's own pairs; sets in files are read by `evaluation.tasks`. `protocols.measure_task`
measures any of them.

Invariant: ids are never part of a text, since they may carry the label.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NL2CODE, CODE2CODE = "nl2code", "code2code"

ALL = "all"
"""The part of a protocol that is the mean over the others, or the only one."""


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
        protocols: some of `evaluation.tasks.PROTOCOLS`.
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
    def query_texts(self) -> list[str]:
        """What a model is shown of the queries."""
        return [query.text for query in self.queries]

    @property
    def document_texts(self) -> list[str]:
        """What a model is shown of the documents."""
        return [document.text for document in self.documents]

    @property
    def hash(self) -> str:
        """SHA-256 over texts, languages, judgements and what is left out, in their order; ids do not count."""
        digest = hashlib.sha256()
        for text in (*self.documents, *self.queries):
            digest.update(json.dumps([text.text, text.language]).encode())
        for numbers in (*self.relevant, *self.own):
            digest.update(json.dumps(sorted(numbers)).encode())
        return digest.hexdigest()


def held_out_search(functions: Mapping[str, Sequence[str]], name: str = "held-out functions") -> Task:
    """Make a search task: find the function, without its documentation, by its summary.

    Every distinct summary is one query; the functions that have it are its answers. All functions given are documents.

    Args:
        functions: the columns `summary`, `code` and `language`, such as a dataset of `Corpus.functions("held_out")`.
        name: what the task is called.
    """
    answers: dict[str, set[int]] = {}
    for number, summary in enumerate(functions["summary"]):
        answers.setdefault(summary, set()).add(number)
    return _search(name, answers, zip(functions["code"], functions["language"], strict=True))


def pair_search(texts: Sequence[str], answers: Sequence[str], others: Sequence[str] = ()) -> Task:
    """Make a search task: find the answers that stand beside a text, among all that are given.

    Every distinct text is one query, every distinct answer one document: equal ones cannot be distinguished.

    Args:
        texts: the text of each pair.
        answers: the answer of each pair.
        others: documents that answer nothing, such as the negatives of triplets.
    """
    documents = {document: number for number, document in enumerate(dict.fromkeys([*answers, *others]))}
    relevant: dict[str, set[int]] = {}
    for text, answer in zip(texts, answers, strict=True):
        relevant.setdefault(text, set()).add(documents[answer])
    return _search("pairs", relevant, ((document, "") for document in documents))


def _search(name: str, answers: Mapping[str, set[int]], documents: Iterable[tuple[str, str]]) -> Task:
    """Make a task of the whole collection out of the answers to each query, and documents with their languages."""
    return Task(
        name,
        tuple(Text(str(number), text, "en") for number, text in enumerate(answers)),
        tuple(Text(str(number), text, language) for number, (text, language) in enumerate(documents)),
        tuple(frozenset(numbers) for numbers in answers.values()),
        ("full",),
        (frozenset(),) * len(answers),
        NL2CODE,
    )
