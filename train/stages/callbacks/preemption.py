"""A training that is told to leave: it saves, leaves, and the same command resumes it.

Contract: `Preemption` is a callback; after `train` its owner calls `leave`, which ends the process if a signal came.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .agreement import any_process

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""What schedulers send before they end a job; Slurm sends what `--signal` names."""


class Preemption(TrainerCallback):
    """Saves a checkpoint and stops after the step in which a signal of `SIGNALS` comes."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.stopped = False
        self._before: dict[int, Any] = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen for signals."""
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop if any process was told to."""
        if any_process(self.received is not None, args):
            self.stopped = control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def leave(self, report: Callable[[str], None]) -> None:
        """End the process if the training was stopped, with the exit status that a signal leaves.

        Raises:
            SystemExit: it was.
        """
        if self.stopped:
            name = signal.Signals(self.received).name if self.received else "a signal to another process"
            report(f"{name}: a checkpoint is saved; the same command resumes from it")
            raise SystemExit(128 + (self.received or signal.SIGTERM))
