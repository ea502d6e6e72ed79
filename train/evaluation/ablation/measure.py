"""What a grid measures of a model: public search sets, and a linear probe on classification sets.

Contract: `Measurer(folder, ...)` reads the sets once; `Measurer.measure(model)` gives rows of set, protocol, part,
metric and value, in percent. Search sets are those of `open_codesage.train.evaluation.tasks`, classification sets those
of `open_codesage.train.evaluation.probing`.

Invariant: every distinct text is embedded once for a model, cut to the same length in all sets.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...common.fingerprint import digest
from ...common.metrics import measure_classes
from ...common.randomness import permutation
from ...retrieval.encoder import open_sentence_model
from ...retrieval.protocols import EmbeddingRanker, measure_task
from ...retrieval.task import Task
from ..classification_tasks import ClassificationTask, read_classification
from ..probing import pooled
from ..tasks import PROTOCOLS, read_task

LINEAR = "linear"
"""The protocol of classification sets: logistic regression on standardised embeddings of the frozen encoder. The
paper's ten epochs of small steps leave embeddings of small models near chance, with much noise."""

Rows = list[dict[str, Any]]


class Measurer:
    """Measures models on some sets.

    Args:
        folder: where the sets lie, each in the folder of its name.
        wanted: set and protocol of what is to be measured.
        max_length: tokens to which texts are cut.
        max_characters: characters to which texts are cut before, since tokenizing long ones takes time.
        batch_size: texts a batch.
        depth: a document that is ranked lower counts as not found.
        queries: most queries of a set, chosen by chance, the same for all models; all if None.

    Raises:
        ValueError: a set is missing or malformed, or is not to be measured so.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Iterable[tuple[str, str]],
        max_length: int = 128,
        max_characters: int = 2000,
        batch_size: int = 64,
        depth: int = 1000,
        queries: int | None = None,
    ) -> None:
        self.max_length, self.max_characters = max_length, max_characters
        self.batch_size, self.depth = batch_size, depth
        self._tasks: dict[str, Task] = {}
        self._classes: dict[str, ClassificationTask] = {}
        protocols: dict[str, list[str]] = {}
        for name, protocol in dict.fromkeys(wanted):
            protocols.setdefault(name, []).append(protocol)
        for name, asked in protocols.items():
            if not (folder / name).is_dir():
                raise ValueError(f"there is no evaluation set {folder / name}: give the folder of sets by --tasks")
            if LINEAR in asked:
                self._classes[name] = read_classification(folder / name)
            if search := tuple(protocol for protocol in asked if protocol != LINEAR):
                if unknown := [protocol for protocol in search if protocol not in PROTOCOLS]:
                    known = ", ".join((*PROTOCOLS, LINEAR))
                    raise ValueError(f"there is no protocol {unknown[0]!r} to measure {name}; known: {known}")
                self._tasks[name] = _some(dataclasses.replace(read_task(folder / name), protocols=search), queries)
        self._texts = list(dict.fromkeys(self._cut(text) for text in self._all_texts()))

    def _all_texts(self) -> Iterable[str]:
        for task in self._tasks.values():
            yield from (text.text for text in (*task.queries, *task.documents))
        for classes in self._classes.values():
            yield from (text for part in ("train", "test") for text in classes.rows[part].texts)

    def measure(self, model: Path) -> Rows:
        """Measure a model folder; the rows have the keys set, protocol, part, metric and value."""
        encoder = open_sentence_model(str(model))
        encoder.max_seq_length = min(self.max_length, encoder.max_seq_length or self.max_length)
        vectors = pooled(encoder, self.batch_size)(self._texts)
        numbers = {text: number for number, text in enumerate(self._texts)}

        def embed(texts: Sequence[str]) -> torch.Tensor:
            return vectors[[numbers[self._cut(text)] for text in texts]]

        rows: Rows = []
        for name, task in self._tasks.items():
            queries, documents = (embed([text.text for text in side]) for side in (task.queries, task.documents))
            for protocol, parts in measure_task(task, EmbeddingRanker(queries, documents), self.depth).items():
                for part, figures in parts.items():
                    rows += [_row(name, protocol, part, metric, value) for metric, value in figures.items()]
        for name, classes in self._classes.items():
            (train, known), (test, true) = (
                (embed(classes.rows[part].texts).numpy(), classes.numbers(part).numpy()) for part in ("train", "test")
            )
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(train, known)
            for metric, value in measure_classes(probe.predict(test), true).items():
                rows.append(_row(name, LINEAR, "all", metric, value))
        return rows

    def _cut(self, text: str) -> str:
        return text[: self.max_characters]


def fingerprint(folder: Path, names: Iterable[str]) -> str:
    """A short hash of the files of some sets."""
    files = (file for name in sorted(set(names)) for file in sorted((folder / name).rglob("*")))
    return digest(*filter(Path.is_file, files))


def _some(task: Task, most: int | None) -> Task:
    """A task with some of its queries, and all of its documents."""
    if most is None:
        return task
    numbers = sorted(permutation(0, len(task.queries))[:most].tolist())
    sides: dict[str, Any] = {
        side: tuple(getattr(task, side)[n] for n in numbers) for side in ("queries", "relevant", "own")
    }
    return dataclasses.replace(task, **sides)


def _row(name: str, protocol: str, part: str, metric: str, value: float) -> dict[str, Any]:
    return {"set": name, "protocol": protocol, "part": part, "metric": metric, "value": round(float(value), 4)}
