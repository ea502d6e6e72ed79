"""What our trainers share: their arguments, and what they do differently from their libraries.

Contract: a stage makes its arguments by `trainer_arguments`. `UndisturbedTraining` and `CountedTraining` go before a
Trainer class in the bases of another; `SentenceTrainer` is the sentence-transformers trainer with the first.

Invariant: when and how often a model is evaluated does not change what it learns. Counting makes no step wait for the
device.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch import Tensor
from transformers import PreTrainedConfig, TrainerCallback, TrainingArguments

from ..common.disk import require_space
from ..common.output import run_folder
from .callbacks.clock import Clock
from .callbacks.preemption import Preemption
from .callbacks.throughput import Throughput, training_flops
from .configs import ContrastConfig, PretrainConfig


class UndisturbedTraining:
    """A Trainer whose evaluations draw nothing from the generators that training uses, and whose checkpoints fit."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate without advancing the training RNG: every data loader draws a seed from it."""
        with torch.random.fork_rng(devices=[]):
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint if there is room for it, and else nothing of it."""
        trainer: Any = self
        if trainer.args.should_save:
            states = [state for states in trainer.optimizer.state.values() for state in states.values()]
            held = [*trainer.model.state_dict().values(), *filter(torch.is_tensor, states)]
            needed = sum(tensor.numel() * tensor.element_size() for tensor in held)
            require_space(Path(trainer.args.output_dir), needed, "A checkpoint")
        super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]


class CountedTraining:
    """A Trainer that counts tokens and model FLOPs on the device, and reads them where it logs or saves.

    `floating_point_ops` has to give what `count` returns. The Trainer's own count of tokens must be off, since it asks
    the device in every step (`include_num_input_tokens_seen="no"`).
    """

    _work: Tensor | None = None

    def count(self, work: Tensor) -> float:
        """Add the work of a batch, [3] of int64; see `throughput.work`.

        Returns:
            0, the operations that the Trainer is to add now.
        """
        self._work = work if self._work is None else self._work + work
        return 0.0

    def store_flos(self) -> None:
        """Bring `num_input_tokens_seen` and `total_flos` up to date; the Trainer calls this before it logs or saves."""
        trainer: Any = self
        if self._work is not None:
            counted, self._work = self._work, None
            trainer.state.num_input_tokens_seen += int(trainer.accelerator.gather(counted[:1]).sum())
            trainer.current_flos += training_flops(self.counted_config, counted.tolist())
        super().store_flos()  # type: ignore[misc]

    @property
    def counted_config(self) -> PreTrainedConfig:
        """Configuration of the encoder whose work is counted."""
        raise NotImplementedError

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log without the Trainer's own tokens per second, which include evaluation and saving."""
        super().log(logs)  # type: ignore[misc]


class SentenceTrainer(UndisturbedTraining, SentenceTransformerTrainer):
    """The sentence-transformers trainer, without its card and with errors where it only logs."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave the card to `export`: this one would be written at every checkpoint, with extracts of the corpus."""

    def _load_best_model(self) -> None:
        """Load the best checkpoint, or fail: the original logs an error and keeps the last weights."""
        self._load_from_checkpoint(self.state.best_model_checkpoint)


FIELDS = {
    "learning_rate": "learning_rate",
    "warmup_steps": "warmup_steps",
    "schedule": "lr_scheduler_type",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "seed": "seed",
    "bf16": "bf16",
    "save_steps": "save_steps",
    "logging_steps": "logging_steps",
    "num_workers": "dataloader_num_workers",
}
"""Fields of a stage's config, and the trainer's arguments that they give. What a stage has no field for, its user sets
through `trainer`."""

UNBOUNDED = 10**9
"""Steps of a training that ends by the clock."""

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def trainer_arguments(
    kind: type[Arguments], config: Any, settled: Mapping[str, Any], computed: Collection[str] = ()
) -> Arguments:
    """Translate a stage's settings into the trainer's; under torchrun this also starts the process group.

    Args:
        kind: the class of arguments.
        config: the stage's config; those of its fields that `FIELDS` names, and `trainer`, are taken from it.
        settled: arguments that only the stage decides.
        computed: names of further arguments that the stage will work out from the number of devices.

    Raises:
        ValueError: `config.trainer` has an argument that is unknown, not the user's to set, or that would make resuming
            unsafe; or one process sees several GPUs.
    """
    ours: dict[str, Any] = {
        "output_dir": str(run_folder(config.output)),
        "save_strategy": "steps",
        "save_only_model": False,
        "eval_strategy": "steps",
        # The Trainer evaluates after the last step in any case.
        "eval_steps": config.eval_steps or 10**12,
        "logging_strategy": "steps",
        "logging_nan_inf_filter": False,
        "ignore_data_skip": False,
        **{argument: getattr(config, field) for field, argument in FIELDS.items() if hasattr(config, field)},
        **settled,
    }
    if getattr(config, "max_minutes", None) is not None:
        ours |= {"lr_scheduler_type": "constant", "warmup_steps": 0}  # `Clock` sets the learning rate.
    known = {field.name for field in dataclasses.fields(kind)}
    for key in config.trainer:
        if key in ours or key in computed:
            raise ValueError(f"trainer: {key} is set by this command: use its own options")
        if key not in known:
            raise ValueError(f"trainer: {kind.__name__} has no {key!r}")
    chosen = {
        # By the clock, the checkpoint from before the decay is kept beside the two newest.
        "save_total_limit": 2 if getattr(config, "max_minutes", None) is None else 3,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": torch.accelerator.is_available(),
    } | config.trainer
    if chosen["save_total_limit"] is not None and chosen["save_total_limit"] < 2:
        raise ValueError("trainer: save_total_limit must be at least 2: the newest checkpoint may be damaged")
    args = kind(**chosen, **ours)
    if args.n_gpu > 1:
        raise ValueError(f"{args.n_gpu} GPUs and one process: start with torchrun, or show it one GPU only")
    return args


def timekeepers(config: ContrastConfig | PretrainConfig, peak: float, preemption: Preemption) -> list[TrainerCallback]:
    """Make the callbacks that count a stage's time, and end it by the clock or by a signal, in the order they need.

    Args:
        config: the stage's settings.
        peak: operations per second of all devices, at best.
        preemption: what listens for signals.
    """
    throughput = Throughput(peak)
    if config.max_minutes is None:
        return [throughput, preemption]
    return [throughput, Clock(60 * config.max_minutes, config.decay_share, config.warmup_steps, throughput), preemption]


def length_of(config: ContrastConfig | PretrainConfig, steps: int) -> str:
    """Say how long a stage trains: its steps, or its minutes with steps of unknown number."""
    return f"{steps:,} steps" if config.max_minutes is None else f"{config.max_minutes:g} minutes, steps"
