"""Fine-tuning: a trained encoder learns from rows of a user's own.

Contract: from a model (folder or Hub id) and a table of rows to a model folder with `training.json`, the record of the
run: for retrieval a SentenceTransformer folder, for classification one that AutoModelForSequenceClassification opens,
with method lora an adapter for either. The model that is written is that of the best evaluation. The run's checkpoints
lie beside it in `<output>.run`; the same command, started again, resumes from the newest complete one. With `merge`
the adapter is also merged into its base, as a whole model in `<output>.merged`.

Invariants: the result is a function of the settings and of the data. An interruption does not change it; on a CPU this
holds to the last bit. The model that is saved is that of the best evaluation, the earliest of equal ones. When training
stops is a function of the trainer's log, so a run that was interrupted stops where it would have. Test rows are seen
once, after all choices.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Trainer,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME

from ..common.config import deciding
from ..common.console import say
from ..common.fingerprint import digest
from ..common.model_folder import require_safetensors
from ..common.model_layout import ADAPTER
from ..common.output import LOG, new_folder
from ..common.run import Run
from ..common.tree import files
from .callbacks.stopping import Divergence, Patience
from .configs import METRICS, FinetuneConfig
from .data.tables import fingerprint, hold_out, is_corpus, read_rows, shared_texts
from .finetune_classification import Classification
from .finetune_retrieval import Retrieval
from .finetune_task import Rows, Task
from .run import SealedCheckpoints, begin_run, facts, speaker
from .trainer import trainer_arguments

TASKS: dict[str, type[Task]] = {"retrieval": Retrieval, "classification": Classification}


def main(config: FinetuneConfig) -> Path:
    """Fine-tune, resume it, or find that it is finished.

    Returns:
        The model folder, `config.output`.

    Raises:
        ValueError: data that cannot be used, or a model that cannot be opened; the message says what to do.
    """
    kind = TASKS[config.task]
    rows = _rows(config, kind)
    args = _training_arguments(config, kind, len(rows.train))
    report = speaker(args)
    run = Run(config.output, _settings(config, rows), LOG)
    if run.finished():
        report(f"{config.output} is finished already")
    else:
        with run.begin(args.should_save):
            _train(config, kind, rows, args, run)
    whole = config.output.with_name(f"{config.output.name}.merged")
    if config.merge and args.should_save and not whole.exists():
        with new_folder(whole) as folder:
            kind.merge(config.output, folder)
        say(f"Fine-tuning: base and adapter as one model, {whole}")
    return config.output


def _train(config: FinetuneConfig, kind: type[Task], rows: Rows, args: TrainingArguments, run: Run) -> None:
    report = speaker(args)
    set_seed(config.seed)
    task = kind(config, rows)
    checkpoint = begin_run(run.folder, run.settings, config.resume)
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
        log = facts(trainer) | parameters | {"best_step": best, "metrics": figures} | task.record
        with run.write(log) as folder:
            task.save(trainer, folder)
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
    settings = deciding(config)
    for key, part in zip(("data", "eval_data", "test_data"), rows, strict=True):
        settings[key] = None if part is None else fingerprint(part)
    folder = Path(config.model)
    if (folder / ADAPTER).is_file():
        raise ValueError(f"{folder} is an adapter: start from a whole model, such as the one that merge writes")
    if folder.exists():
        require_safetensors(folder)
        settings["model"] = digest(*sorted(path for path in files(folder) if path.suffix == ".safetensors"))
    return settings
