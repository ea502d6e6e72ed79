"""What fine-tuning does, whatever the task: rows in, training with evaluations, the best model out.

Contract: `tune(config, kind)` is `finetune.main` without its first checks, for a `Task`: a class that opens the model,
makes its trainer, and measures and saves what comes out.

Invariants: the model that is saved is that of the best evaluation, the earliest of equal ones. When training stops is
a function of the trainer's log, so a run that was interrupted stops where it would have. Rows to test with are seen
once, after all choices.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from datasets import Dataset
from transformers import (
    PreTrainedConfig,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME

from ..console import say
from ..data.folders import new_folder, write_json
from ..data.tables import fingerprint, hold_out, is_corpus, read_rows, shared_texts
from ..model_folders import ADAPTER
from .checkpoints import SealedCheckpoints, begin_run, digest, require_safetensors, run_folder
from .finetune import METRICS, FinetuneConfig
from .runs import LOG, facts, is_finished, require_finite, speaker, trainer_arguments

# What may change between an interruption and its continuation: it does not change what is learnt.
FREE = {"output", "resume", "merge"}

Figures = dict[str, dict[str, float]]


class Rows(NamedTuple):
    """The tables of a run."""

    train: Dataset
    evaluation: Dataset
    test: Dataset | None


class Task(ABC):
    """A model under training for one task.

    Args:
        config: the settings.
        rows: the tables, with the columns that `columns` names.

    Raises:
        ValueError: the rows do not fit the task, or the model can not be opened.
    """

    arguments: ClassVar[type[TrainingArguments]]
    settled: ClassVar[dict[str, Any]]
    """Arguments of the trainer that the task decides."""
    record: dict[str, Any]
    """What the task adds to the record of the run."""

    @abstractmethod
    def __init__(self, config: FinetuneConfig, rows: Rows) -> None: ...

    @staticmethod
    @abstractmethod
    def columns(config: FinetuneConfig) -> tuple[list[str], list[str]]:
        """Name the columns that hold texts, and the others."""

    @abstractmethod
    def trainer(self, args: TrainingArguments, callbacks: list[TrainerCallback]) -> Trainer:
        """Make the trainer, which evaluates with all `METRICS` of the task."""

    @abstractmethod
    def baselines(self, rows: Dataset) -> Figures:
        """Measure what there is to compare with; to be called before the training."""

    @abstractmethod
    def measure(self, trainer: Trainer, rows: Dataset) -> dict[str, float]:
        """Measure the trainer's model, in percent."""

    @abstractmethod
    def save(self, trainer: Trainer, folder: Path) -> None:
        """Write the trainer's model, or its adapter."""

    @staticmethod
    @abstractmethod
    def merge(adapter: Path, folder: Path) -> None:
        """Write the whole model of an adapter folder that `save` has written."""


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


def tune(config: FinetuneConfig, kind: type[Task]) -> Path:
    """Fine-tune, go on with it, or find that it is done; see `finetune.main`."""
    rows = _rows(config, kind)
    args = _training_arguments(config, kind, len(rows.train))
    report = speaker(args)
    settings = _settings(config, rows)
    if is_finished(config.output, settings):
        report(f"{config.output} is finished already")
    else:
        _train(config, kind, rows, args, settings)
    whole = config.output.with_name(f"{config.output.name}.merged")
    if config.merge and args.should_save and not whole.exists():
        with new_folder(whole) as folder:
            kind.merge(config.output, folder)
        say(f"Fine-tuning: base and adapter as one model, {whole}")
    return config.output


def _train(
    config: FinetuneConfig, kind: type[Task], rows: Rows, args: TrainingArguments, settings: dict[str, Any]
) -> None:
    report = speaker(args)
    set_seed(config.seed)
    task = kind(config, rows)
    checkpoint = begin_run(run_folder(config.output), settings, config.resume)
    measured = {"evaluation": rows.evaluation, "test": rows.test}
    figures = {name: task.baselines(part) for name, part in measured.items() if part is not None}
    patience = Patience(config.patience)
    trainer = task.trainer(args, [Divergence(), SealedCheckpoints(), patience])
    parameters = {
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "trained_parameters": sum(part.numel() for part in trainer.model.parameters() if part.requires_grad),
    }
    report(
        f"Fine-tuning: {parameters['trained_parameters']:,} of {parameters['parameters']:,} parameters, "
        f"{len(rows.train):,} rows, at most {args.max_steps:,} steps of {config.batch_size}, "
        f"an evaluation on {len(rows.evaluation):,} rows every {args.eval_steps:,}"
    )
    # Processes must not draw the same dropout. A checkpoint brings the states of its own.
    torch.manual_seed(config.seed + args.process_index)
    _fit(trainer, checkpoint, patience)
    best = trainer.state.best_global_step
    logged = next(entry for entry in trainer.state.log_history if entry["step"] == best and "eval_runtime" in entry)
    figures["evaluation"]["fine-tuned"] = {name: logged[f"eval_{name}"] for name in METRICS[config.task]}
    if rows.test is not None:
        figures["test"]["fine-tuned"] = task.measure(trainer, rows.test)
    if args.should_save:
        log = facts(trainer, settings) | parameters | {"best_step": best, "metrics": figures} | task.record
        with new_folder(config.output) as folder:
            task.save(trainer, folder)
            write_json(folder / LOG, log)
    for name, models in figures.items():
        for model, values in models.items():
            report(f"{name}, {model}: " + ", ".join(f"{metric} {value:.2f}" for metric, value in values.items()))
    report(f"Fine-tuning: {trainer.state.global_step:,} steps, the model of step {best:,}, {config.output}")


def _fit(trainer: Trainer, checkpoint: Path | None, patience: Patience) -> None:
    """Train to the end and load the best checkpoint. The run may have been killed after its last checkpoint."""
    if checkpoint is not None:
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        if state.global_step >= trainer.args.max_steps or patience.is_over(state):
            trainer.state = state
            trainer._load_best_model()
            return
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))


def _rows(config: FinetuneConfig, kind: type[Task]) -> Rows:
    """Read the tables and hold rows out."""
    texts, others = kind.columns(config)
    group = config.group_column or ("unit" if is_corpus(config.data) else None)
    if config.eval_data is None:
        everything = read_rows(config.data, "train", texts, [*others, *([group] if group else [])])
        train, evaluation = hold_out(everything, config.eval_share, group or texts[0], config.seed)
    else:
        if config.group_column is not None:
            raise ValueError("group_column says what to hold out of data together: leave it out with eval_data")
        train = read_rows(config.data, "train", texts, others)
        evaluation = read_rows(config.eval_data, "validation", texts, others)
    test = None if config.test_data is None else read_rows(config.test_data, "test", texts, others)
    rows = Rows(*(part and part.select_columns([*texts, *others]) for part in (train, evaluation, test)))
    for name, part in (("evaluation", evaluation), ("test", test)):
        if part is not None and (shared := shared_texts(part, train, texts[:1])):
            say(f"{shared:,} of {len(part):,} rows for the {name} have a {texts[0]} that is trained on, too")
    return rows


def _training_arguments(config: FinetuneConfig, kind: type[Task], rows: int) -> TrainingArguments:
    """Translate the settings; also starts the process group under torchrun."""
    whole = kind.settled.get("dataloader_drop_last", False)
    batches = rows // config.batch_size if whole else math.ceil(rows / config.batch_size)
    if not batches:
        raise ValueError(f"{rows:,} rows do not fill a batch of {config.batch_size}: choose a smaller batch_size")
    steps = config.steps or math.ceil(config.epochs * batches)
    interval = min(config.eval_steps or batches, steps)
    metric = config.metric or METRICS[config.task][0]
    args = trainer_arguments(
        kind.arguments,
        dataclasses.replace(config, trainer={"logging_steps": 10} | config.trainer),
        settled={
            "max_steps": steps,
            "eval_steps": interval,
            "save_steps": interval,
            "load_best_model_at_end": True,
            "metric_for_best_model": metric,
            "greater_is_better": True,
            "gradient_accumulation_steps": 1,
            **kind.settled,
        },
        computed={"per_device_train_batch_size", "per_device_eval_batch_size", "num_train_epochs"},
    )
    share, rest = divmod(config.batch_size, args.world_size)
    if rest:
        raise ValueError(f"batch_size {config.batch_size} is not a multiple of the {args.world_size} devices")
    args.per_device_train_batch_size = args.per_device_eval_batch_size = share
    return args


def _settings(config: FinetuneConfig, rows: Rows) -> dict[str, Any]:
    """Everything that the result depends on. Data and models count by their contents, wherever they lie."""
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key not in FREE}
    for key, part in zip(("data", "eval_data", "test_data"), rows, strict=True):
        settings[key] = None if part is None else fingerprint(part)
    folder = Path(config.model)
    if (folder / ADAPTER).is_file():
        raise ValueError(f"{folder} is an adapter: start from a whole model, such as the one that merge writes")
    if folder.exists():
        require_safetensors(folder)
        settings["model"] = digest(*sorted(folder.rglob("*.safetensors")))
    return settings


def location(model: str) -> str:
    """Give the absolute path of a model folder, which adapters remember, or a Hub id as it is."""
    return str(Path(model).resolve()) if Path(model).exists() else model


def longest_input(config: FinetuneConfig, encoder: PreTrainedConfig, usual: int) -> int:
    """Say to how many tokens texts are cut: as told, else as the model did.

    Raises:
        ValueError: the model has no positions for so many.
    """
    positions = getattr(encoder, "max_position_embeddings", None)
    if positions is None:
        return config.max_length or usual
    if config.max_length is not None and config.max_length > positions:
        raise ValueError(f"max_length is {config.max_length}, but the model has {positions} positions")
    return config.max_length or min(usual, positions)
