"""A search task: queries, documents, and which documents answer which query.

Contract: `held_out_search` makes the task that every evaluation of this package shares out of held-out functions.
"""

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
