"""Checkpoints that can be trusted, for both training stages: complete, of the same run, and without pickled weights.

Contract: a stage with the model folder `output` works in `run_folder(output)`. It calls `begin_run` to learn from which
checkpoint to go on, and gives `SealedCheckpoints` to its trainer.

Invariants: a checkpoint is used only if it is sealed, that is, if it has the list of its files that is written after
everything else, and every file still has its length. A run goes on only under the settings that it began with.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..console import say
from ..data.folders import write_json
from ..model_folders import PICKLES, read_object, require_sound

SEAL = "complete.json"
SETTINGS = "settings.json"


def run_folder(output: Path) -> Path:
    """Return the folder beside `output` that holds the checkpoints and other working files of its run."""
    return output.parent / f"{output.name}.run"


class SealedCheckpoints(TrainerCallback):
    """Seals every checkpoint that the trainer saves, and mends two things about resuming.

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


def newest_checkpoint(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """Find the newest complete checkpoint of a run.

    Args:
        folder: the run's folder, which may not exist yet.

    Returns:
        The checkpoint, or None if there is no complete one, and the newer checkpoints that were passed over, each with
        the reason.
    """
    passed_over: dict[Path, str] = {}
    for checkpoint in sorted(_checkpoints(folder), key=_step, reverse=True):
        reason = damage(checkpoint)
        if reason is None:
            return checkpoint, passed_over
        passed_over[checkpoint] = reason
    return None, passed_over


def begin_run(folder: Path, settings: Mapping[str, Any], resume: bool) -> Path | None:
    """Begin or continue the run in `folder`, in all processes alike.

    Args:
        folder: the run's folder; made if it does not exist.
        settings: everything that the result of the run depends on, of JSON types. Kept in the folder.
        resume: whether an earlier run may be continued.

    Returns:
        The checkpoint to go on from, None to begin at the first step.

    Raises:
        ValueError: the folder's checkpoints come from other settings, named in the message, or may not be used.
    """
    checkpoint, passed_over = newest_checkpoint(folder)
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
            say(f"going on from {checkpoint}")
            before, now = len(list(checkpoint.glob("rng_state*.pth"))), state.num_processes
            if before != now:
                say(f"{before} processes wrote this checkpoint, now there are {now}: dropout will differ")
        write_json(folder / SETTINGS, settings)
    return checkpoint


def require_same_settings(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Compare the settings that a folder was made with to those that are wanted now.

    Raises:
        ValueError: they differ; the message names every key with its old and new value.
    """
    before, now = _flat(old), _flat(json.loads(json.dumps(new)))
    changes = [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changes:
        raise ValueError(
            f"{folder} was made with other settings ({'; '.join(changes)}): "
            "go back to the old settings, delete that folder, or choose another output"
        )


def require_safetensors(source: Path) -> None:
    """Make sure that a model folder can be opened without unpickling anything, and that it is sound.

    Args:
        source: a model folder.

    Raises:
        ValueError: there are no weights in safetensors files (the message says how to convert pickled ones), or
            `require_sound` has found faults.
    """
    candidates = sorted(source.iterdir()) if source.is_dir() else [source]
    if source.is_dir() and any(file.suffix == ".safetensors" for file in candidates):
        require_sound(source)
        return
    for file in candidates:
        if file.suffix in PICKLES and file.is_file():
            raise ValueError(
                f"{file} is a pickle, which can run any code when it is read, and is refused as model weights: "
                "if you trust its origin, convert it to safetensors, one of CodeSage with `open-codesage convert`, "
                "another with torch.load(…, weights_only=True) and safetensors.torch.save_file"
            )
    raise ValueError(f"{source} is not a folder with model weights in safetensors files")


def digest(*files: Path) -> str:
    """Return a short hash of the contents of some files, for settings that name data."""
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:16]


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


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give inner mappings dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object that this module wrote.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        return read_object(file)
    except ValueError as error:
        raise ValueError(f"{error}: delete {file.parent}") from error
