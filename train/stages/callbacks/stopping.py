"""When a training stops early: it has diverged, or has not improved for a while.

Contract: callbacks for any Trainer, and `require_finite` for a Trainer's own `log`.
"""

import math
from collections.abc import Mapping
from typing import Any

from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)


def require_finite(logs: Mapping[str, float], step: int) -> None:
    """Stop a run that has diverged; to be called with every log entry, which comes before the checkpoint of its step.

    Raises:
        ValueError: a loss in the entry is infinite or not a number.
    """
    for name, value in logs.items():
        if name.endswith("loss") and not math.isfinite(value):
            raise ValueError(
                f"{name} is {value} at step {step:,}: the training has diverged. "
                "Choose a lower learning_rate or more warmup_steps, and another output"
            )


class Patience(TrainerCallback):
    """Stops a training, once the checkpoint is saved, after some evaluations without a better one."""

    def __init__(self, evaluations: int | None) -> None:
        self.evaluations = evaluations

    def is_over(self, state: TrainerState) -> bool:
        """Count the evaluations since the best in the log."""
        worse = [entry for entry in state.log_history if "eval_runtime" in entry]
        worse = [entry for entry in worse if entry["step"] > (state.best_global_step or 0)]
        return self.evaluations is not None and len(worse) >= self.evaluations

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask the trainer to stop."""
        control.should_training_stop |= self.is_over(state)
        return control


class Divergence(TrainerCallback):
    """Stops a training whose loss is not a number any more."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Look at every loss."""
        require_finite(logs, state.global_step)
