"""Notices an encoder that maps everything to one point, the way in which contrastive training fails.

Contract: `CollapseAlarm` is a trainer callback that watches the logged training loss. It speaks when the loss stays at
the value of collapse, and again if it leaves that later; both are in the log, as `collapse`. Its attribute `message` is
None unless the training is collapsed now.

Invariant: it judges steps after the warm-up only, and a loss that merely passes by the value of collapse is no alarm.
"""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

TOLERANCE = 0.01


class CollapseAlarm(TrainerCallback):
    """Reports a training loss that stays at the value that it has when all similarities are equal.

    Patience is a tenth of all steps, but no fewer than 10. The loss is smoothed exponentially over about a third of
    that. The alarm is raised when the smoothed loss has been within 1 % of `value` for so long after the warm-up.

    Args:
        value: the loss when all similarities are equal, see `collapse_value`.
        report: called with the message.
    """

    def __init__(self, value: float, report: Callable[[str], None]) -> None:
        self.value = value
        self.report = report
        self.message: str | None = None
        self._smoothed: float | None = None
        self._last_step = self._inside_since = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over what the log of a run that is continued says."""
        self._smoothed, self._last_step, self._inside_since = None, 0, 0
        for entry in state.log_history:
            self._observe(args, state, entry)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Judge one log entry of the training loss."""
        known = self.message
        self._observe(args, state, state.log_history[-1])
        if bool(self.message) != bool(known):
            news = self.message or f"the training loss has left the value of collapse after {self._last_step:,} steps"
            self.report(news)
            state.log_history[-1]["collapse"] = news

    def _observe(self, args: TrainingArguments, state: TrainerState, entry: dict[str, Any]) -> None:
        if "loss" not in entry:
            return
        step, begin = int(entry["step"]), self._last_step
        self._last_step = step
        warmup = args.get_warmup_steps(state.max_steps)
        if begin < warmup:
            self._inside_since = step
            return
        patience = max(10, state.max_steps // 10)
        weight = 1.0 if self._smoothed is None else min(1.0, 3 * (step - begin) / patience)
        self._smoothed = (1 - weight) * (self._smoothed or 0.0) + weight * entry["loss"]
        if abs(self._smoothed - self.value) > TOLERANCE * self.value:
            self._inside_since, self.message = step, None
        elif step - self._inside_since >= patience and not self.message:
            self.message = (
                f"COLLAPSE: after {step:,} steps the training loss has stayed at {self._smoothed:.3f}, within 1 % of "
                f"{self.value:.3f}, its value when all embeddings are the same. If it stays there nothing is learnt. "
                "Remedies: a longer Stage I, a longer warm-up (warmup_steps), a lower learning_rate"
            )
