"""What our trainers have in common beyond their libraries.

Contract: `UndisturbedTraining` goes before a Trainer class in the bases of another; `SentenceTrainer` is the
sentence-transformers trainer with it.

Invariant: when and how often a model is evaluated does not change what it learns.
"""

from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer


class UndisturbedTraining:
    """A Trainer whose evaluations draw nothing from the generators that training uses."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate without a trace in the random state: a data loader draws a seed from it that nobody here needs."""
        with torch.random.fork_rng(devices=[]):
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]


class SentenceTrainer(UndisturbedTraining, SentenceTransformerTrainer):
    """The sentence-transformers trainer, without its card and with errors where it only logs."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave the card to `export`: this one would be written at every checkpoint, with extracts of the corpus."""

    def _load_best_model(self) -> None:
        """Load the best checkpoint, or fail: the original logs an error and keeps the last weights."""
        self._load_from_checkpoint(self.state.best_model_checkpoint)
