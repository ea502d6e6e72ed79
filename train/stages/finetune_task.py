"""What fine-tuning asks of a task: open the model, make its trainer, measure and save what comes out.

Contract: `finetune.main` drives any subclass of `Task`; `finetune_retrieval` and `finetune_classification` are the two.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from datasets import Dataset
from transformers import (
    PreTrainedConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ..common.positions import longest_document
from .configs import FinetuneConfig

Figures = dict[str, dict[str, float]]


class Rows(NamedTuple):
    """The tables of a run."""

    train: Dataset
    evaluation: Dataset
    test: Dataset | None


class Task(ABC):
    """A model under training for one task.

    Args:
        config: the settings.
        rows: the tables, with the columns that `columns` names.

    Raises:
        ValueError: the rows do not fit the task, or the model cannot be opened.
    """

    arguments: ClassVar[type[TrainingArguments]]
    settled: ClassVar[dict[str, Any]]
    """Arguments of the trainer that the task decides."""
    record: dict[str, Any]
    """What the task adds to the record of the run."""

    @abstractmethod
    def __init__(self, config: FinetuneConfig, rows: Rows) -> None: ...

    @staticmethod
    @abstractmethod
    def columns(config: FinetuneConfig) -> tuple[list[str], list[str]]:
        """Name the columns that hold texts, and the others."""

    @abstractmethod
    def trainer(self, args: TrainingArguments, callbacks: list[TrainerCallback]) -> Trainer:
        """Make the trainer, which evaluates with all `METRICS` of the task."""

    @abstractmethod
    def baselines(self, rows: Dataset) -> Figures:
        """Measure what there is to compare with; to be called before the training."""

    @abstractmethod
    def measure(self, trainer: Trainer, rows: Dataset) -> dict[str, float]:
        """Measure the trainer's model, in percent."""

    @abstractmethod
    def save(self, trainer: Trainer, folder: Path) -> None:
        """Write the trainer's model, or its adapter."""

    @staticmethod
    @abstractmethod
    def merge(adapter: Path, folder: Path) -> None:
        """Write the whole model of an adapter folder that `save` has written."""


def location(model: str) -> str:
    """Give the absolute path of a model folder, which adapters remember, or a Hub id as it is."""
    return str(Path(model).resolve()) if Path(model).exists() else model


def longest_input(config: FinetuneConfig, encoder: PreTrainedConfig, usual: int) -> int:
    """Say to how many tokens texts are cut: as told, else as the model did.

    Raises:
        ValueError: the model has no positions for so many.
    """
    positions = longest_document(encoder)
    if positions is None:
        return config.max_length or usual
    if config.max_length is not None and config.max_length > positions:
        raise ValueError(f"max_length is {config.max_length}, but the model has positions for {positions}")
    return config.max_length or min(usual, positions)
