"""What is measured: BM25, or a model, each able to do a task and to tell how it was done.

Contract: `Subject.search` gives a ranker for a search task and `Subject.classify` figures for a classification task,
both with facts about the run: input lengths, and how many texts were longer and therefore cut. A model is opened when
it is first needed.

Invariant: embeddings go through the store, so a text is embedded once for all protocols, and of an interrupted run only
what is missing.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from typing import Any, Protocol

import torch

from .bm25 import K1, QUERY_WORDS, B
from .encoder import Encoder, Side, limited, longest_input, open_sentence_model
from .identity import identify, package_versions
from .probing import ClassificationTask, Method, Spread, measure_classification, pooled
from .protocols import EmbeddingRanker, Ranker, WordRanker
from .store import Store, content_hash
from .tasks import Task

BM25_NAME = "bm25"


class Subject(Protocol):
    """A model under measurement.

    Attributes:
        name: what the results call it.
        hash: tells it from every other.
    """

    name: str
    hash: str

    def facts(self) -> dict[str, Any]:
        """What the results tell about it."""

    def search(self, task: Task) -> tuple[Ranker, dict[str, Any]]:
        """Give a ranker for a search task, and facts about the run."""

    def classify(self, task: ClassificationTask, method: Method, seeds: Sequence[int]) -> dict[str, Spread]:
        """Measure a way of learning classes."""


class Words:
    """BM25 for search, and logistic regression on words for classes: neither learns anything from code."""

    name = BM25_NAME

    def __init__(self) -> None:
        self.hash = content_hash([BM25_NAME, str((K1, B, QUERY_WORDS)), metadata.version("bm25s")])

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {"source": BM25_NAME, "revision": None, "hash": self.hash, "k1": K1, "b": B, "query_words": QUERY_WORDS}

    def search(self, task: Task) -> tuple[Ranker, dict[str, Any]]:
        """See `Subject`."""
        return WordRanker(task), {}

    def classify(self, task: ClassificationTask, method: Method, seeds: Sequence[int]) -> dict[str, Spread]:
        """See `Subject`."""
        return measure_classification(task, None, BM25_NAME, "words", seeds, task.files["train"].parent)


class Model:
    """A folder or Hub id.

    Args:
        source: what the user named.
        name: what the results call it.
        store: where embeddings are kept.
        batch_size: texts per batch.
        max_length: longest document in tokens; what the model was made for if None.
        query_max_length: longest query in tokens; `max_length` if None.

    Raises:
        ValueError: there is no such model.
    """

    def __init__(
        self,
        source: str,
        name: str,
        store: Store,
        batch_size: int,
        max_length: int | None = None,
        query_max_length: int | None = None,
    ) -> None:
        self.source, self.name, self.store = source, name, store
        self.batch_size, self.max_length, self.query_max_length = batch_size, max_length, query_max_length
        self.revision, self.hash = identify(source)

    @cached_property
    def opened(self) -> Any:
        """The model, open."""
        return open_sentence_model(self.source)

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {"source": self.name, "revision": self.revision, "hash": self.hash}

    def search(self, task: Task) -> tuple[Ranker, dict[str, Any]]:
        """See `Subject`.

        Raises:
            ValueError: the model can not be opened, or can not take inputs of these lengths.
        """
        encoder = Encoder(self.opened, self.batch_size, self.max_length, False, self.query_max_length)
        texts: dict[Side, list[str]] = {
            "query": [query.text for query in task.queries],
            "document": [document.text for document in task.documents],
        }
        vectors = {side: self._embeddings(encoder, some, side, task.name) for side, some in texts.items()}
        facts: dict[str, Any] = {
            "query_max_length": encoder.lengths["query"],
            "document_max_length": encoder.lengths["document"],
            "queries_cut": encoder.cut(texts["query"], "query"),
            "documents_cut": encoder.cut(texts["document"], "document"),
        }
        return EmbeddingRanker(vectors["query"], vectors["document"]), facts

    def _embeddings(self, encoder: Encoder, texts: list[str], side: Side, task: str) -> Any:
        key = [self.hash, encoder.treatment(side), str(package_versions())]
        return self.store.embeddings(key, texts, lambda some: encoder.embed(some, side), f"{self.name}: {task}")

    def classify(self, task: ClassificationTask, method: Method, seeds: Sequence[int]) -> dict[str, Spread]:
        """See `Subject`."""
        length = self.max_length or longest_input(self.opened)

        def embed(texts: list[str]) -> torch.Tensor:
            key = [self.hash, f"pooled, {length} tokens", str(package_versions())]
            with limited(self.opened, length):
                inner = pooled(self.opened, self.batch_size)
                return torch.from_numpy(self.store.embeddings(key, texts, inner, f"{self.name}: {task.name}").copy())

        folder = self.store.folder / "finetune" / content_hash([self.hash, task.name, method])
        return measure_classification(task, embed, self.source, method, seeds, folder)
