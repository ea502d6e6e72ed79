"""Classification sets: texts with labels, in a training, a validation and a test part.

Contract: `read_classification(folder)` reads `train`, `valid` and `test`, each `.jsonl` or `.jsonl.gz`.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ..common.fingerprint import content_hash

PARTS = ("train", "valid", "test")


class Rows(NamedTuple):
    """One part of a set: texts, and the label of each."""

    texts: list[str]
    labels: list[str]


@dataclass(frozen=True)
class ClassificationTask:
    """A classification set.

    Attributes:
        name: of the folder.
        files: the file of each of `PARTS`.
        rows: the rows of each of `PARTS`.
        classes: labels of the training rows, sorted.
    """

    name: str
    files: Mapping[str, Path]
    rows: Mapping[str, Rows]
    classes: tuple[str, ...]

    def numbers(self, part: str) -> torch.Tensor:
        """Places of a part's labels in `classes`: int64 [number of rows]."""
        places = {label: place for place, label in enumerate(self.classes)}
        return torch.tensor([places[label] for label in self.rows[part].labels])


def read_classification(folder: Path) -> ClassificationTask:
    """Read a classification set.

    Raises:
        ValueError: a part is missing, empty or malformed, there is only one class, or a class that the training rows
            lack; the message names the file.
    """
    files = {part: _find(folder, part) for part in PARTS}
    rows = {part: _read(file) for part, file in files.items()}
    classes = set(rows["train"].labels)
    if len(classes) < 2:
        raise ValueError(f"{files['train']}: all labels are {classes.pop()!r}, and one class is nothing to learn")
    for part in ("valid", "test"):
        if unseen := sorted(set(rows[part].labels) - classes):
            raise ValueError(
                f"{files[part]} has the label {unseen[0]!r}, which {files['train']} lacks: "
                "add rows of it to the training, or remove these"
            )
    return ClassificationTask(folder.name, files, rows, tuple(sorted(classes)))


def _find(folder: Path, part: str) -> Path:
    for path in (folder / f"{part}.jsonl.gz", folder / f"{part}.jsonl"):
        if path.is_file():
            return path
    raise ValueError(f"{folder} has no {part}.jsonl or {part}.jsonl.gz: a classification set has {', '.join(PARTS)}")


def _read(path: Path) -> Rows:
    rows = Rows([], [])
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            for line, row in enumerate(map(json.loads, lines), start=1):
                text, label = (row.get("text"), row.get("label")) if isinstance(row, dict) else (None, None)
                if not isinstance(text, str) or not text.strip():
                    raise ValueError(f"{path}:{line}: needed is an object with a text that is not empty")
                if not isinstance(label, str | int) or isinstance(label, bool) or label == "":
                    raise ValueError(f"{path}:{line}: the label {label!r} is neither a text nor a whole number")
                rows.texts.append(text)
                rows.labels.append(str(label))
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not rows.texts:
        raise ValueError(f"{path} is empty")
    return rows


def task_hash(task: ClassificationTask) -> str:
    """SHA-256 over texts and labels, in their order."""
    return content_hash(
        [text for part in PARTS for pair in zip(*task.rows[part], strict=True) for text in (part, *pair)]
    )
