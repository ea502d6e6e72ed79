"""How fast a training runs: tokens per second, and the share of the device's peak that goes into the model (MFU).

Contract: `Throughput` is a trainer callback that adds `tokens_per_second`, `mfu` and `train_seconds` to every log entry
of the training loss. It takes the counts from the trainer's state: the tokens that are not padding
(`num_input_tokens_seen`) and model FLOPs (`total_flos`), as `CountedTraining` keeps them. Both are summed over devices
there, and survive a resumption.

Invariant: the time is that of training steps, the waiting for data included, evaluation and saving excluded.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def work(inputs: Mapping[str, Tensor]) -> Tensor:
    """Count what a batch asks for, on its device, without waiting for it.

    Args:
        inputs: input_ids [B, T] and, where given, attention_mask [B, T] (1 at tokens), position_ids [B, T] (restarting
            at 0 in each document; without them a row is one document), labels [B, T] (-100 where there is none).

    Returns:
        The number of tokens, the sum of the squared lengths of the documents, and the number of labels; [3], int64.
    """
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask", torch.ones_like(ids))
    lengths = mask.sum(dim=1)
    if "position_ids" in inputs:
        # A document of n tokens has the positions 0 to n - 1: twice their sum, plus n, is n squared.
        squared = 2 * (inputs["position_ids"] * mask).sum() + lengths.sum()
    else:
        squared = lengths.square().sum()
    labelled = (inputs["labels"] != -100).sum() if "labels" in inputs else torch.zeros_like(squared)
    return torch.stack([lengths.sum(), squared, labelled])


def training_flops(config: PreTrainedConfig, work: Sequence[int]) -> float:
    """Count the floating-point operations that one forward and one backward pass need.

    A multiplication and an addition are two operations, and the backward pass needs twice the forward pass:

        3 * (2 * tokens * layers * (4 H^2 + 2 H F) + 4 * layers * H * sum of n^2 over documents + 2 * labels * H * V)

    for hidden size H, inner size F, vocabulary V and documents of n tokens. The terms are the matrix products of the
    blocks, the two products of the attention, and the prediction head. Only what the model's definition asks for
    counts: tokens that are not padding, attention within documents, and the head at labelled positions. Embedding
    look-ups, normalisation, activation functions, softmax and recomputed activations do not.

    Args:
        config: the model's configuration.
        work: tokens, squares and labels, as `work` counts them.

    Returns:
        The number of operations.
    """
    tokens, squares, labels = work
    hidden, layers = config.hidden_size, config.num_hidden_layers
    blocks = 2.0 * tokens * layers * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    attention = 4.0 * layers * hidden * squares
    head = 2.0 * labels * hidden * config.vocab_size
    return 3 * (blocks + attention + head)


def measured_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Measure the operations per second of a large square matrix product, the practical peak of a device.

    Args:
        device: where to measure.
        dtype: the type that training computes in.
        seconds: how long to measure; the best product counts.

    Returns:
        Operations (multiplications and additions) per second.
    """
    size = 1024 if device.type == "cpu" else 8192
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.rand(size, size, generator=generator, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    best = float("inf")
    end = None
    while end is None or time.perf_counter() < end:
        _synchronize(device)
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        _synchronize(device)
        if end is None:  # The first product only warms up.
            end = time.perf_counter() + seconds
        else:
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


class Throughput(TrainerCallback):
    """Adds tokens per second over all devices, MFU and the seconds of training so far to the log.

    Args:
        peak: operations per second of all devices together, at best.
    """

    def __init__(self, peak: float) -> None:
        self.peak = peak
        self.seconds = self._mark = self._logged_seconds = 0.0
        self._logged_tokens, self._logged_flops = 0, 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the counts of the run that is continued, and start the clock."""
        self.seconds = next(
            (entry["train_seconds"] for entry in reversed(state.log_history) if "train_seconds" in entry), 0.0
        )
        self._logged(state)
        self._mark = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count the step, and the waiting for its data."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave the evaluation out."""
        self._mark = time.perf_counter()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave the saving out."""
        self._mark = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Add the rates since the last log entry to a log entry of the training loss."""
        if "loss" not in logs:
            return
        seconds = self.seconds - self._logged_seconds
        rates = {
            "tokens_per_second": round((state.num_input_tokens_seen - self._logged_tokens) / seconds, 1),
            "mfu": round((state.total_flos - self._logged_flops) / seconds / self.peak, 4),
            "train_seconds": round(self.seconds, 3),
        }
        self._logged(state)
        logs.update(rates)
        # The trainer has put a copy of the entry into its history before it calls.
        state.log_history[-1].update(rates)

    def _logged(self, state: TrainerState) -> None:
        self._logged_seconds = self.seconds
        self._logged_tokens, self._logged_flops = state.num_input_tokens_seen, state.total_flos


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
