"""The systems under evaluation: BM25, a model, or the fusion of both.

Contract: `Subject.search` gives a ranker for a search task and `Subject.classify` figures for a classification task,
both with facts about the run: input lengths, and how many texts were longer and therefore cut. A model is opened when
it is first needed.

Invariant: embeddings go through the store, so a text is embedded once for all protocols, and of an interrupted run only
what is missing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..common.fingerprint import content_hash
from ..common.identity import identify, package_versions
from ..retrieval.bm25 import K1, QUERY_WORDS, B
from ..retrieval.encoder import Encoder, Side, count_cut, limited, longest_input, open_sentence_model
from ..retrieval.protocols import EmbeddingRanker, FusedRanker, Ranker, WordRanker
from ..retrieval.task import Task
from .cache import Store
from .classification_tasks import PARTS, ClassificationTask, task_hash
from .presets import Treatment
from .probing import SETTINGS, Method, Spread, classify_by_words, measure_classification, pooled

BM25_NAME = "bm25"

FUSED = f"{BM25_NAME}+"
"""Before the name of a model that is to be fused with BM25."""


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

    def search(self, task: Task, treatment: Treatment) -> tuple[Ranker, dict[str, Any]]:
        """Give a ranker for a search task, and facts about the run."""

    def classify(
        self, task: ClassificationTask, methods: Sequence[Method], seeds: Sequence[int], treatment: Treatment
    ) -> tuple[dict[Method, dict[str, Spread]], dict[str, Any]]:
        """Measure ways of learning classes: figures by way, and facts about the run."""

    def close(self) -> None:
        """Give back memory."""


class Words:
    """BM25 for search, and logistic regression on words for classes: neither learns anything from code."""

    name = BM25_NAME

    def __init__(self) -> None:
        self.hash = content_hash([BM25_NAME, str((K1, B, QUERY_WORDS)), metadata.version("bm25s")])

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {"source": BM25_NAME, "revision": None, "hash": self.hash, "k1": K1, "b": B, "query_words": QUERY_WORDS}

    def search(self, task: Task, treatment: Treatment) -> tuple[Ranker, dict[str, Any]]:
        """See `Subject`; lengths are in words here, and fixed."""
        return WordRanker(task), {}

    def classify(
        self, task: ClassificationTask, methods: Sequence[Method], seeds: Sequence[int], treatment: Treatment
    ) -> tuple[dict[Method, dict[str, Spread]], dict[str, Any]]:
        """See `Subject`; words are the only way here."""
        return {"words": classify_by_words(task)}, {}

    def close(self) -> None:
        """See `Subject`."""


class Model:
    """A folder or Hub id.

    Args:
        source: what the user named.
        name: what the results call it.
        store: where embeddings are kept.
        batch_size: texts per batch.

    Raises:
        ValueError: there is no such model.
    """

    def __init__(self, source: str, name: str, store: Store, batch_size: int) -> None:
        self.source, self.name, self.store, self.batch_size = source, name, store, batch_size
        self.revision, self.hash = identify(source)

    @cached_property
    def opened(self) -> Any:
        """The model, open."""
        return open_sentence_model(self.source)

    def close(self) -> None:
        """See `Subject`."""
        self.__dict__.pop("opened", None)

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {"source": self.name, "revision": self.revision, "hash": self.hash}

    def search(self, task: Task, treatment: Treatment) -> tuple[Ranker, dict[str, Any]]:
        """See `Subject`.

        Raises:
            ValueError: the model cannot be opened, or cannot take inputs of these lengths.
        """
        query, document = self._length(treatment.query_max_length, treatment), self._document_length(treatment)
        encoder = Encoder(self.opened, self.batch_size, document, False, query)
        texts: dict[Side, list[str]] = {
            "query": task.query_texts,
            "document": task.document_texts,
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

    def classify(
        self, task: ClassificationTask, methods: Sequence[Method], seeds: Sequence[int], treatment: Treatment
    ) -> tuple[dict[Method, dict[str, Spread]], dict[str, Any]]:
        """See `Subject`.

        Raises:
            ValueError: the model cannot be opened or trained.
        """
        key = [self.hash, f"pooled, {self._document_length(treatment)} tokens", str(package_versions())]

        def embed(texts: list[str]) -> torch.Tensor:
            inner = pooled(self.opened, self.batch_size)
            return torch.from_numpy(np.array(self.store.embeddings(key, texts, inner, f"{self.name}: {task.name}")))

        figures: dict[Method, dict[str, Spread]] = {}
        with self.limited(treatment) as length:
            for method in methods:
                settings = replace(SETTINGS[method], max_length=length)
                made_of = [self.hash, task_hash(task), method, str(settings)]
                folder = self.store.folder / "finetune" / content_hash(made_of)
                figures[method] = measure_classification(task, embed, self.source, method, seeds, folder, settings)
        cut = {f"{part}_cut": count_cut(self.opened, task.rows[part].texts, length) for part in PARTS}
        return figures, {"max_length": length, **cut}

    @contextmanager
    def limited(self, treatment: Treatment) -> Iterator[int | None]:
        """Let the model cut its inputs as documents for a while; gives the length in tokens, None if there is none.

        Raises:
            ValueError: the model cannot take inputs of this length.
        """
        length, longest = self._document_length(treatment), longest_input(self.opened)
        if length and longest and length > longest:
            raise ValueError(f"max_length is {length}, but the model takes at most {longest} tokens")
        with limited(self.opened, length):
            yield length or longest

    def _document_length(self, treatment: Treatment) -> int | None:
        return self._length(treatment.document_max_length, treatment)

    def _length(self, length: int | None, treatment: Treatment) -> int | None:
        longest = longest_input(self.opened)
        return min(length, longest) if treatment.may_be_less and length and longest else length


class Fused:
    """BM25 and a model as one: their rankings are fused, see `FusedRanker`.

    Args:
        words: BM25.
        model: the model.
    """

    def __init__(self, words: Words, model: Model) -> None:
        self.words, self.model = words, model
        self.name = f"{words.name} + {model.name}"
        self.hash = content_hash([words.hash, model.hash, "reciprocal rank fusion"])

    def close(self) -> None:
        """See `Subject`."""
        self.model.close()

    def facts(self) -> dict[str, Any]:
        """See `Subject`."""
        return {**self.model.facts(), "source": self.name, "hash": self.hash}

    def search(self, task: Task, treatment: Treatment) -> tuple[Ranker, dict[str, Any]]:
        """See `Subject`; lengths are those of the model."""
        (words, _), (model, facts) = (subject.search(task, treatment) for subject in (self.words, self.model))
        return FusedRanker(words, model), facts

    def classify(
        self, task: ClassificationTask, methods: Sequence[Method], seeds: Sequence[int], treatment: Treatment
    ) -> tuple[dict[Method, dict[str, Spread]], dict[str, Any]]:
        """See `Subject`.

        Raises:
            ValueError: always: what is fused are rankings.
        """
        raise ValueError("rankings are fused, and classes are not ranked: leave it out, or the set")


def subjects(sources: Sequence[str], store: Store, batch_size: int) -> list[Subject]:
    """Models in the order given.

    Args:
        sources: folders and Hub ids, `bm25`, or `bm25+` and a folder or Hub id.
        store: where embeddings are kept.
        batch_size: texts per batch.

    Raises:
        ValueError: there is no such model, or one is given twice.
    """
    models = [source.removeprefix(FUSED) for source in sources]
    for kind in (False, True):  # a model may stand there alone, and fused
        short_names([model for model, source in zip(models, sources, strict=True) if source.startswith(FUSED) == kind])
    apart = list(dict.fromkeys(models))
    names = dict(zip(apart, short_names(apart), strict=True))
    found: list[Subject] = []
    for source, model in zip(sources, models, strict=True):
        if source == BM25_NAME:
            found.append(Words())
            continue
        opened = Model(model, names[model], store, batch_size)
        found.append(Fused(Words(), opened) if source.startswith(FUSED) else opened)
    return found


def short_names(models: Sequence[str]) -> list[str]:
    """Names of models: of a folder the last part of its path, or as many as tell it from the others; else as given.

    Raises:
        ValueError: a model is given twice.
    """
    parts = [Path(model).resolve().parts if Path(model).is_dir() else (model,) for model in models]
    if twice := next((model for model, own in zip(models, parts, strict=True) if parts.count(own) > 1), None):
        raise ValueError(f"the model {twice} is given twice: name it once")

    def name(own: tuple[str, ...]) -> str:
        for length in range(1, len(own) + 1):
            if sum(other[-length:] == own[-length:] for other in parts) == 1:
                return "/".join(own[-length:])
        return "/".join(own)

    return [name(own) for own in parts]
