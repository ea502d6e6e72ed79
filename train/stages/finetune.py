"""Fine-tuning: a trained encoder learns from rows of a user's own.

Contract: from a model (folder or Hub id) and a table of rows to a model folder with `training.json`, the record of the
run: for retrieval a SentenceTransformer folder, for classification one that AutoModelForSequenceClassification opens,
with method lora an adapter for either. The model that is written is that of the best evaluation. The run's checkpoints
lie beside it in `<output>.run`; the same command, started again, goes on from the newest complete one. With `merge`
the adapter is also merged into its base, as a whole model in `<output>.merged`.

Invariant: the result is a function of the settings and of the data. An interruption does not change it; on a CPU this
holds to the last bit.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

METRICS = {"retrieval": ("mrr", "recall@10"), "classification": ("macro_f1", "accuracy")}
"""Of each task the metrics, in percent; the first chooses the best checkpoint unless told."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune a model on pairs, triplets or labelled texts, in full or by a LoRA adapter.

    Attributes:
        model: model folder or Hub id to start from; also a folder of pretrain, contrast or export.
        data: rows to learn from: a csv, jsonl or parquet file (also .gz), a corpus folder of extract (its held-out
            functions stay unseen), or a dataset id of the Hub, with a split other than train as USER/NAME:SPLIT.
        output: the model folder to write; it must not exist, unless the same run has written it.
        task: what to learn: retrieval from pairs or triplets, or classification of texts.
        eval_data: rows for the evaluations, as data (split of a Hub id if not named: validation); a share of data is
            held out if not given.
        eval_share: the share of rows that is held out of data if eval_data is not given.
        group_column: rows with the same value here are held out together, for example all of a module; equal texts
            are in any case. In a corpus folder: unit, if not given.
        test_data: rows to measure the finished model on, once (split of a Hub id if not named: test).
        columns: for retrieval the names of text, answer and, for triplets, negatives (default: text code, in a corpus
            folder summary code); for classification those of text and label (default: text label).
        method: train all weights, or a LoRA adapter, a small addition to the attention and feed-forward projections.
        lora_rank: rank of the adapter's matrices; their product is scaled by two.
        merge: with method lora, also write the whole model, adapter merged in, to OUTPUT.merged.
        loss: for retrieval, the loss of contrast (hard negatives weigh more), or the MultipleNegativesRankingLoss of
            sentence-transformers.
        temperature: divides the cosines in either loss.
        epochs: passes over the rows.
        steps: optimizer steps, in place of epochs.
        batch_size: rows in a batch, over all devices; in retrieval each row's negatives are the others.
        mini_batch_size: retrieval: rows that go through the encoder at once; memory depends on this and not on
            batch_size. none takes the whole batch, which saves a quarter of the time where it fits.
        max_length: tokens to which texts are cut; as long as the model takes if not given.
        learning_rate: highest learning rate, of a linear schedule.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        eval_steps: steps between evaluations, each with a checkpoint; once in an epoch if not given.
        patience: stop after so many evaluations without a better one; never if none.
        metric: what chooses the best checkpoint: mrr or recall@10, macro_f1 or accuracy; the first of the task's if
            not given.
        seed: seed of the held-out rows, the new weights, the batches and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        resume: go on from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for the TrainingArguments of transformers or, for retrieval, those of
            sentence-transformers, key=value.
    """

    model: str
    data: str
    output: Path
    task: Literal["retrieval", "classification"]
    eval_data: str | None = None
    eval_share: float = 0.1
    group_column: str | None = None
    test_data: str | None = None
    columns: tuple[str, ...] = ()
    method: Literal["full", "lora"] = "full"
    lora_rank: int = 16
    merge: bool = False
    loss: Literal["ours", "mnrl"] = "ours"
    temperature: float = 0.05
    epochs: float = 3.0
    steps: int | None = None
    batch_size: int = 32
    mini_batch_size: int | None = 32
    max_length: int | None = None
    learning_rate: float = 5e-5
    warmup_steps: float = 0.1
    eval_steps: int | None = None
    patience: int | None = 3
    metric: Literal["mrr", "recall@10", "macro_f1", "accuracy"] | None = None
    seed: int = 0
    bf16: bool = False
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)


def main(config: FinetuneConfig) -> Path:
    """Fine-tune, go on with it, or find that it is done.

    Returns:
        The model folder, `config.output`.

    Raises:
        ValueError: settings or data that can not be used, or a model that can not be opened; the message says what to
            do.
    """
    for name in ("lora_rank", "temperature", "epochs", "steps", "mini_batch_size", "max_length", "eval_steps"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive, not {value}")
    if config.patience is not None and config.patience < 1:
        raise ValueError(f"patience must be at least 1, or none, not {config.patience}")
    smallest = 2 if config.task == "retrieval" else 1
    if config.batch_size < smallest:
        raise ValueError(f"batch_size must be at least {smallest} for {config.task}, not {config.batch_size}")
    if not 0 < config.eval_share <= 0.5:
        raise ValueError(f"eval_share must be above 0 and at most 0.5, not {config.eval_share}")
    if config.merge and config.method != "lora":
        raise ValueError("merge needs an adapter: choose method lora")
    if config.metric is not None and config.metric not in METRICS[config.task]:
        raise ValueError(f"{config.metric} is no metric of {config.task}: choose {' or '.join(METRICS[config.task])}")

    from .tuning import tune

    if config.task == "retrieval":
        from .finetune_retrieval import Retrieval as Task
    else:
        from .finetune_classification import Classification as Task  # type: ignore[assignment]
    return tune(config, Task)
