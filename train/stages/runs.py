"""What surrounds the trainer of either stage: its arguments, the record of the run, and whether it is done already.

Contract: a stage makes its arguments by `trainer_arguments`, asks `is_finished` before it begins, and writes `record`,
with what it has to add, as `training.json` into its model folder.

Invariant: the model folder holds the settings that it was made with, so that the same command finds its work done, and
another one is refused.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments

from ..console import say
from .checkpoints import read_json, require_same_settings, run_folder

LOG = "training.json"

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
    known = {field.name for field in dataclasses.fields(kind)}
    for key in config.trainer:
        if key in ours or key in computed:
            raise ValueError(f"trainer: {key} is set by this command: use its own options")
        if key not in known:
            raise ValueError(f"trainer: {kind.__name__} has no {key!r}")
    chosen = {
        "save_total_limit": 2,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": torch.accelerator.is_available(),
    } | config.trainer
    if chosen["save_total_limit"] is not None and chosen["save_total_limit"] < 2:
        raise ValueError("trainer: save_total_limit must be at least 2: the newest checkpoint may be damaged")
    args = kind(**chosen, **ours)
    if args.n_gpu > 1:
        raise ValueError(f"{args.n_gpu} GPUs and one process: start with torchrun, or show it one GPU only")
    return args


def speaker(args: TrainingArguments) -> Callable[[str], None]:
    """Return `say` in the first process, and in the others a function that says nothing."""
    return say if args.process_index == 0 else lambda message: None


def is_finished(output: Path, settings: Mapping[str, Any]) -> bool:
    """Find out whether a run with these settings has written its model folder.

    Raises:
        ValueError: there is something else at `output`, or a model with other settings.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not (output / LOG).is_file():
        raise ValueError(f"{output} exists and is no model of this command: choose another output")
    require_same_settings(output, read_json(output / LOG).get("settings", {}), settings)
    return True


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


def record(trainer: Trainer, model: PreTrainedModel, settings: Mapping[str, Any], peak: float) -> dict[str, Any]:
    """Sum up the run of a stage: what a model card and a plot of the losses need.

    Args:
        trainer: a trainer that has finished, with the callback `Throughput`.
        model: the model that it has trained.
        settings: the settings of the run.
        peak: operations per second of one device, at best.

    Returns:
        What `facts` gives, parameters, tokens, seconds of training, tokens per second and FLOPs over all devices, MFU.
    """
    state = trainer.state
    seconds = next(entry["train_seconds"] for entry in reversed(state.log_history) if "train_seconds" in entry)
    return {
        "parameters": model.num_parameters(),
        "tokens": state.num_input_tokens_seen,
        "seconds": seconds,
        "tokens_per_second": state.num_input_tokens_seen / seconds,
        "flops": state.total_flos,
        "mfu": state.total_flos / seconds / (peak * trainer.args.world_size),
        "peak_flops_per_device": peak,
        **facts(trainer, settings),
    }


def facts(trainer: Trainer, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be recorded of any training: settings, steps, devices, versions, and the trainer's log as `log`."""
    return {
        "settings": settings,
        "steps": trainer.state.global_step,
        "devices": trainer.args.world_size,
        "device": str(trainer.args.device),
        "versions": {
            name: metadata.version(name)
            for name in ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
        },
        "log": trainer.state.log_history,
    }
