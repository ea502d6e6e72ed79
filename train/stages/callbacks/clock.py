"""Training by the clock: a budget of time in place of steps, and a learning rate that follows it.

The schedule is a trapezoid (warm-up, constant, decay; "WSD", Hu et al. 2024, arXiv:2404.06395): the rate depends on the
share of the budget that is spent, whatever a step takes, and falls linearly to 0 over the last `decay_share` of it.

Contract: `Clock` is a callback after `Throughput`, which counts the seconds of training; evaluating and saving come on
top. The trainer's own schedule has to be constant. A checkpoint is saved just before the decay and one at the end.

Invariant: a checkpoint that has begun to decay says for which budget, so a run with a longer one resumes from before.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .agreement import any_process
from .throughput import Throughput

DECAY = "decay.json"
"""File of a checkpoint that has begun to decay: the budget of its run, in seconds."""


class Clock(TrainerCallback):
    """Ends a training when its time is up, and sets the learning rate by the time that is left.

    Args:
        seconds: the budget.
        decay_share: the last share of the budget, in which the learning rate falls to 0.
        warmup: steps of linear warm-up; a number below 1 is a share of the budget.
        throughput: counts the seconds of training, those before an interruption included.
    """

    def __init__(self, seconds: float, decay_share: float, warmup: float, throughput: Throughput) -> None:
        self.seconds, self.decay_share, self.warmup, self.throughput = seconds, decay_share, warmup, throughput
        self._slowest = self._mark = 0.0
        self.decays = self._begins = False

    @property
    def spent(self) -> float:
        """The share of the budget that is spent."""
        return self.throughput.seconds / self.seconds

    def factor(self, step: int) -> float:
        """What the highest learning rate is multiplied by at a step, counted from 0."""
        done = (step + 1) / self.warmup if self.warmup >= 1 else self.spent / self.warmup if self.warmup else 1.0
        return max(0.0, min(1.0, done, (1 - self.spent) / self.decay_share))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin with the seconds that an interrupted run has spent."""
        self._mark = self.throughput.seconds
        self.decays = self.spent >= 1 - self.decay_share

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the learning rate of the step; the trainer's constant schedule sets it back afterwards."""
        for group in optimizer.param_groups if optimizer is not None else ():
            group["lr"] = group["initial_lr"] * self.factor(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save before the decay, and stop while there is time for the last step."""
        self._slowest = max(self._slowest, self.throughput.seconds - self._mark)
        self._mark = self.throughput.seconds
        if any_process(self.throughput.seconds + self._slowest >= self.seconds, args):
            control.should_training_stop = control.should_save = True
            control.should_evaluate |= args.eval_strategy != "no"
        elif not self.decays:
            self._begins = any_process(self.spent >= 1 - self.decay_share, args)
            control.should_save |= self._begins
        else:
            control.should_save = False  # The checkpoint from before the decay is to be kept.

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark a checkpoint that has decayed: not the one that is saved as the decay begins, but all after it."""
        if args.should_save and self.decays:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (checkpoint / DECAY).write_text(json.dumps(self.seconds), "utf-8")
        self.decays |= self._begins

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Correct the learning rate of a log entry, which the trainer takes from its own schedule."""
        if "learning_rate" in logs:
            logs["learning_rate"] = args.learning_rate * self.factor(state.global_step - 1)
            state.log_history[-1]["learning_rate"] = logs["learning_rate"]


def other_budget(checkpoint: Path, seconds: float | None) -> str | None:
    """Say that a checkpoint has decayed for another budget than this one, or None."""
    file = checkpoint / DECAY
    if not file.is_file():
        return None
    decayed = json.loads(file.read_text("utf-8"))
    return None if decayed == seconds else f"its learning rate has fallen for a budget of {decayed / 60:g} minutes"
