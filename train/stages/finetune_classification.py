"""Fine-tuning for classification: a linear layer on the pooled mean, and the encoder below it.

Contract: a `Task` for texts and labels, one label a text. It trains AutoModelForSequenceClassification with the Trainer
of transformers; labels may be texts or whole numbers, and their names are in the model's config.

Invariant: the classes are those of the training rows, in their natural order; a label that is not among them is
refused, never mapped to another.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import open_codesage.modeling  # noqa: F401  registers the Auto classes
import torch
from datasets import ClassLabel, Dataset
from open_codesage.modeling.auto_classes import name_classes
from open_codesage.tokenization.tokenizer import forget_calls
from peft import PeftModel, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import PredictionOutput

from ..common.metrics import measure_classes
from ..common.model_folder import require_sound_download
from ..common.output import LOG, read_json
from .configs import FinetuneConfig
from .finetune_task import Figures, Rows, Task, location, longest_input
from .lora import lora, merged
from .trainer import UndisturbedTraining


class ClassificationTrainer(UndisturbedTraining, Trainer):
    """The Trainer of transformers."""


class Classification(Task):
    """A sequence classifier that learns from labelled texts."""

    arguments = TrainingArguments
    settled: ClassVar[dict[str, Any]] = {"label_names": ["labels"], "remove_unused_columns": False}

    def __init__(self, config: FinetuneConfig, rows: Rows) -> None:
        self.rows = rows
        self.text, self.label = rows.train.column_names
        self.names = _classes(rows.train, self.label)
        if len(self.names) < 2:
            raise ValueError(
                f"{config.data}: all labels are {self.names[0]!r}, and one class is nothing to learn: check columns"
            )
        for name, part in (("evaluation", rows.evaluation), ("test", rows.test)):
            if part is not None and (unseen := sorted(set(_labels(part, self.label)) - set(self.names))):
                raise ValueError(
                    f"rows of the {name} have the label {', '.join(map(repr, unseen))}, those of the training only "
                    f"{', '.join(map(repr, self.names))}: add such rows to data, or remove these"
                )
        self.record = {"classes": self.names}
        self.tokenizer, self.model, new = _open(config, self.names)
        if config.method == "lora":
            layers = {"modules_to_save": new, "exclude_modules": new}
            self.model = get_peft_model(self.model, lora(self.model, config.lora_rank, "SEQ_CLS", **layers))

    @staticmethod
    def columns(config: FinetuneConfig) -> tuple[list[str], list[str]]:
        """One text and one label."""
        columns = list(config.columns) or ["text", "label"]
        if len(columns) != 2 or columns[0] == columns[1]:
            raise ValueError(f"classification needs a column of texts and one of labels, not {columns}")
        return columns[:1], columns[1:]

    def trainer(self, args: TrainingArguments, callbacks: list[TrainerCallback]) -> Trainer:
        """Make the trainer."""
        return ClassificationTrainer(
            model=self.model,
            args=args,
            train_dataset=self._encoded(self.rows.train),
            eval_dataset=self._encoded(self.rows.evaluation),
            data_collator=DataCollatorWithPadding(self.tokenizer),
            compute_metrics=_measure,
            callbacks=callbacks,
        )

    def baselines(self, rows: Dataset) -> Figures:
        """Measure the guess of the class that is most frequent in training."""
        most = max(self.names, key=_labels(self.rows.train, self.label).count)
        true = self._numbers(rows)
        return {f"always {most!r}": measure_classes(np.full_like(true, self.names.index(most)), true)}

    def measure(self, trainer: Trainer, rows: Dataset) -> dict[str, float]:
        """Classify with the trained model."""
        return _measure(trainer.predict(self._encoded(rows)))

    def save(self, trainer: Trainer, folder: Path) -> None:
        """Write the classifier, or its adapter, and the tokenizer."""
        _save(self.model, self.tokenizer, folder)

    @staticmethod
    def merge(adapter: Path, folder: Path) -> None:
        """Add the adapter to the base, with the head that was trained beside it."""
        model = merged(adapter, AutoModelForSequenceClassification, **_head(read_json(adapter / LOG)["classes"]))
        _save(model, AutoTokenizer.from_pretrained(adapter), folder)

    def _numbers(self, rows: Dataset) -> np.ndarray:
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[label] for label in _labels(rows, self.label)])

    def _encoded(self, rows: Dataset) -> Dataset:
        tokens = self.tokenizer(rows[self.text][:], truncation=True)
        return Dataset.from_dict({**tokens, "labels": self._numbers(rows)})


def _labels(rows: Dataset, column: str) -> list[str]:
    """Give the labels as texts."""
    feature, values = rows.features[column], rows[column][:]
    if isinstance(feature, ClassLabel):
        return [feature.int2str(value) for value in values]
    if not all(isinstance(value, str | int) for value in values):
        raise ValueError(f"the column {column} holds {feature.dtype}: labels are texts or whole numbers")
    return [str(value) for value in values]


def _classes(rows: Dataset, column: str) -> list[str]:
    """The labels that occur: numbers by size, texts by alphabet, declared classes in their order."""
    feature, found = rows.features[column], set(_labels(rows, column))
    if isinstance(feature, ClassLabel):
        return [name for name in feature.names if name in found]
    return sorted(found, key=int) if feature.dtype.startswith(("int", "uint")) else sorted(found)


def _head(names: list[str]) -> dict[str, Any]:
    """What makes `from_pretrained` give a model a head for these classes."""
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        # The head of another task is replaced.
        "ignore_mismatched_sizes": True,
    }


def _open(config: FinetuneConfig, names: list[str]) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, list[str]]:
    """Open the tokenizer, set to the longest input, and the encoder with a head for the classes.

    Also returns the layers that an adapter has to hold as a whole: the head, and what else the checkpoint lacks, such
    as the pooling layer that a masked BERT goes without. Opened with its base, the adapter would get new ones.
    """
    where = location(config.model)
    options = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    if not Path(where).exists():
        require_sound_download(where)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            where, **options, **_head(names), output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"model {config.model} cannot be opened: {error}") from error
    tokenizer.model_max_length = longest_input(config, model.config, tokenizer.model_max_length)
    lacking = {name.rpartition(".")[0] for name in info["missing_keys"]}
    return tokenizer, model, ["classifier", *sorted(name for name in lacking if name.split(".")[0] != "classifier")]


def _measure(prediction: EvalPrediction | PredictionOutput) -> dict[str, float]:
    return measure_classes(prediction.predictions.argmax(axis=-1), prediction.label_ids)


def _save(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    name_classes(model.config)
    forget_calls(tokenizer)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
