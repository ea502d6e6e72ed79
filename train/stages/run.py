"""Checkpoints that can be trusted, for both training stages: complete, of the same run, and without pickled weights.

Contract: a stage that holds its `Run` calls `begin_run` to learn from which checkpoint to resume, gives
`SealedCheckpoints` to its trainer, and records by `record` what its model folder is to tell.

Invariants: a checkpoint is used only if it is sealed, that is, if it has the list of its files that is written after
everything else, and every file still has its length. A run resumes only under the settings that it began with.
"""

import os
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.console import say
from ..common.output import read_json, write_json
from ..common.run import SETTINGS, require_same_settings
from .callbacks.clock import other_budget

SEAL = "complete.json"

BUDGET = {"max_minutes", "decay_share"}
"""Settings of a training by the clock that may change between its resumptions."""


class SealedCheckpoints(TrainerCallback):
    """Seals every checkpoint that the trainer saves, and fixes two bugs of resuming.

    A log at every save empties the trainer's running mean of the loss, which is not part of a checkpoint: without it
    the first mean after a resumption would be taken over fewer steps than in a run that was never stopped. And the
    intervals for logging, evaluating and saving are those of the arguments, not those of the checkpoint.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the intervals from the arguments."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Log wherever a checkpoint is saved."""
        control.should_log |= control.should_save
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint once every process has written its part."""
        PartialState().wait_for_everyone()
        if args.should_save:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def seal(checkpoint: Path) -> None:
    """Write the list of the checkpoint's files and their lengths, after all of them have reached the disk."""
    (checkpoint / SEAL).unlink(missing_ok=True)
    _flush(checkpoint)
    write_json(
        checkpoint / SEAL, {str(file.relative_to(checkpoint)): file.stat().st_size for file in _files(checkpoint)}
    )


def damage(checkpoint: Path) -> str | None:
    """Say what is missing in a checkpoint, or return None for a complete one."""
    if not (checkpoint / SEAL).is_file():
        return f"no {SEAL}, so its saving was cut off"
    try:
        sizes = read_json(checkpoint / SEAL)
    except ValueError as error:
        return str(error)
    for name, size in sizes.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size:,} bytes instead of {size:,}"
    return None


def newest_checkpoint(folder: Path, seconds: float | None = None) -> tuple[Path | None, dict[Path, str]]:
    """Find the newest complete checkpoint of a run.

    Args:
        folder: the run's folder, which may not exist yet.
        seconds: the budget of a run by the clock; checkpoints that have decayed for another one do not count.

    Returns:
        The checkpoint, or None if there is no complete one, and the newer checkpoints that were passed over, each with
        the reason.
    """
    passed_over: dict[Path, str] = {}
    for checkpoint in sorted(_checkpoints(folder), key=_step, reverse=True):
        reason = damage(checkpoint) or other_budget(checkpoint, seconds)
        if reason is None:
            return checkpoint, passed_over
        passed_over[checkpoint] = reason
    return None, passed_over


def begin_run(folder: Path, settings: Mapping[str, Any], resume: bool) -> Path | None:
    """Begin or resume the run that works in `folder`, in all processes alike.

    Args:
        folder: the working folder of a run that this process holds; made if it does not exist.
        settings: everything that the result of the run depends on, of JSON types. Kept in the folder. Of a training by
            the clock, the budget and its decay may change: see `callbacks.clock`.
        resume: whether an earlier run may be resumed.

    Returns:
        The checkpoint to resume from, None to begin at the first step.

    Raises:
        ValueError: the folder's checkpoints come from other settings, named in the message, or may not be used.
    """
    minutes = settings.get("max_minutes")
    checkpoint, passed_over = newest_checkpoint(folder, None if minutes is None else 60 * minutes)
    settings = {key: value for key, value in settings.items() if key not in BUDGET}
    if checkpoint is not None:
        if not resume:
            raise ValueError(
                f"{folder} holds checkpoints: resume from them, delete the folder, or choose another output"
            )
        require_same_settings(folder, read_json(folder / SETTINGS), settings)
    state = PartialState()
    # No process may look for checkpoints after the first has begun to change the folder.
    state.wait_for_everyone()
    if state.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        for damaged, reason in passed_over.items():
            say(f"passed over {damaged}: {reason}")
            # It will be saved again, file by file: the old seal must not vouch for the mixture.
            (damaged / SEAL).unlink(missing_ok=True)
        if checkpoint is not None:
            say(f"resuming from {checkpoint}")
            before, now = len(list(checkpoint.glob("rng_state*.pth"))), state.num_processes
            if before != now:
                say(f"{before} processes wrote this checkpoint, now there are {now}: dropout will differ")
        write_json(folder / SETTINGS, settings)
    return checkpoint


def _checkpoints(folder: Path) -> list[Path]:
    return [
        path for path in folder.glob("checkpoint-*") if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)
    ]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush(folder: Path) -> None:
    """Force the contents of all files to the disk, so that no later write can overtake them in a power failure."""
    for file in _files(folder):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def speaker(args: TrainingArguments) -> Callable[[str], None]:
    """Return `say` in the first process, and in the others a function that says nothing."""
    return say if args.process_index == 0 else lambda message: None


def record(trainer: Trainer, model: PreTrainedModel, peak: float) -> dict[str, Any]:
    """Sum up the run of a stage: what a model card and a plot of the losses need.

    Args:
        trainer: a trainer that has finished, with the callback `Throughput`.
        model: the model that it has trained.
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
        **facts(trainer),
    }


def facts(trainer: Trainer) -> dict[str, Any]:
    """What is to be recorded of any training: steps, devices, versions, and the trainer's log as `log`."""
    return {
        "steps": trainer.state.global_step,
        "devices": trainer.args.world_size,
        "device": str(trainer.args.device),
        "versions": {
            name: metadata.version(name)
            for name in ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
        },
        "log": trainer.state.log_history,
    }
