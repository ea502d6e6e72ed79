"""Classification sets, and how well a model's view of code tells their classes apart.

Contract: `read_classification(folder)` reads `train`, `valid` and `test` as `.jsonl` or `.jsonl.gz` (objects with
`text`, `label` and optionally `language`) and `meta.json`, if there is one. `measure_classification` gives accuracy and
macro-F1 on the test rows, by one of four methods: a linear layer on the embeddings of the frozen encoder, fine-tuning
in full or by LoRA, or words alone without a model. Each seed is one training from the start.

Invariant: classes are those of the training rows. The validation rows choose the epoch; the test rows are looked at
once, after all choices.
"""

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.normalize import Normalize
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import get_linear_schedule_with_warmup

from ..common.metrics import measure_classes
from ..common.output import LOG, read_json, run_folder
from ..retrieval.split_words import split_words
from ..stages.configs import FinetuneConfig
from ..stages.finetune import main as finetune
from .classification_tasks import PARTS, ClassificationTask

Method = Literal["linear", "full", "lora", "words"]


@dataclass(frozen=True)
class Settings:
    """How a classifier is trained: AdamW, batches of shuffled rows, a linear schedule with warm-up.

    Attributes:
        learning_rate: the highest.
        epochs: passes over the training rows.
        batch_size: rows in a batch.
        weight_decay: of AdamW.
        warmup_steps: steps of linear warm-up.
        dropout: before a linear layer on a frozen encoder; fine-tuning takes that of the model.
        max_length: tokens to which fine-tuning cuts texts; what the model was made for if None.
    """

    learning_rate: float
    epochs: int
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup_steps: int = 10
    dropout: float = 0.1
    max_length: int | None = None


SETTINGS: Mapping[Method, Settings] = {
    "linear": Settings(learning_rate=1e-3, epochs=10),
    "full": Settings(learning_rate=1e-5, epochs=5),
    "lora": Settings(learning_rate=2e-4, epochs=5),
}
"""`linear` and `full` are the paper's, for defects and complexity and its two smaller models: the large one took a
learning rate of 5e-6, run-time errors 2 epochs, and texts were cut at 1,024 tokens (appendix on classification; decay
and warm-up are in the authors' scripts). The paper has no adapters: `lora` is ours."""


class Spread(NamedTuple):
    """A figure over several seeds, in percent.

    Attributes:
        mean: over the seeds.
        sd: the standard deviation of the sample; None of a single value.
        values: one a seed.
    """

    mean: float
    sd: float | None
    values: list[float]


def measure_classification(
    task: ClassificationTask,
    embed: Callable[[list[str]], torch.Tensor] | None,
    model: str,
    method: Method,
    seeds: Sequence[int],
    folder: Path,
    settings: Settings | None = None,
) -> dict[str, Spread]:
    """Measure a model on the test rows of a set.

    Args:
        task: the set.
        embed: for `linear`, gives the pooled embeddings of texts, float [number of texts, D]; see `pooled`.
        model: for `full` and `lora`, the folder or Hub id to start from.
        method: how the classes are learnt. `words` knows neither a model nor a seed, and gives one value.
        seeds: one training each.
        folder: for `full` and `lora`, where the records of the trainings go; what is found there is not repeated.
        settings: of the training; those of `SETTINGS` if None.

    Returns:
        `macro_f1` and `accuracy`.

    Raises:
        ValueError: no seeds, or the same one twice; no `embed` for `linear`; or what the training refuses.
    """
    if method == "words":
        return classify_by_words(task)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds are {list(seeds)}: give at least one, and none twice")
    settings = settings or SETTINGS[method]
    if method != "linear":
        return fine_tune(model, task, method, seeds, folder, settings)
    if embed is None:
        raise ValueError("a linear layer needs embeddings: give embed")
    embeddings = {part: embed(task.rows[part].texts) for part in PARTS}
    return linear_probe(embeddings, {part: task.numbers(part) for part in PARTS}, seeds, settings)


def pooled(model: SentenceTransformer, batch_size: int) -> Callable[[list[str]], torch.Tensor]:
    """Give a function from texts to a model's pooled embeddings, without their being scaled to length 1.

    A linear layer learns at the pace of the size of its input, and the paper's learning rate is for means of normed
    states, whose length is about the square root of the width.
    """
    modules = [module for module in model if not isinstance(module, Normalize)]
    plain = SentenceTransformer(modules=modules, device=str(model.device))

    def embed(texts: list[str]) -> torch.Tensor:
        return plain.encode(texts, batch_size=batch_size, convert_to_tensor=True).float().cpu()

    return embed


def linear_probe(
    embeddings: Mapping[str, torch.Tensor],
    labels: Mapping[str, torch.Tensor],
    seeds: Sequence[int],
    settings: Settings = SETTINGS["linear"],
) -> dict[str, Spread]:
    """Train a linear layer on embeddings of a frozen encoder, under the paper's protocol.

    The layer of the epoch with the best macro-F1 on the validation rows is measured, the earliest of equal ones.

    Args:
        embeddings: of each of `PARTS`, float [N, D].
        labels: numbers of the classes, from 0, of each of `PARTS`, int64 [N].
        seeds: each gives the first weights, the batches and the dropout of one training.
        settings: of the training.

    Raises:
        ValueError: some embeddings are not finite.
    """
    if not all(part.isfinite().all() for part in embeddings.values()):
        raise ValueError("some embeddings are not finite: the model is broken, look at its training loss")
    return _spread([_probe(embeddings, labels, seed, settings) for seed in seeds])


def _probe(
    embeddings: Mapping[str, torch.Tensor], labels: Mapping[str, torch.Tensor], seed: int, settings: Settings
) -> dict[str, float]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows, true = embeddings["train"], labels["train"]
        layer = torch.nn.Linear(rows.shape[1], int(true.max()) + 1)
        torch.nn.init.normal_(layer.weight, std=0.02)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        steps = settings.epochs * -(-len(rows) // settings.batch_size)
        schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
        best = (-1.0, {"macro_f1": 0.0, "accuracy": 0.0})
        for _ in range(settings.epochs):
            for batch in torch.randperm(len(rows)).split(settings.batch_size):
                loss = F.cross_entropy(layer(F.dropout(rows[batch], settings.dropout)), true[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            with torch.inference_mode():
                valid, test = (
                    measure_classes(layer(embeddings[part]).argmax(1).numpy(), labels[part].numpy())
                    for part in ("valid", "test")
                )
            if valid["macro_f1"] > best[0]:
                best = (valid["macro_f1"], test)
    return best[1]


def fine_tune(
    model: str,
    task: ClassificationTask,
    method: Literal["full", "lora"],
    seeds: Sequence[int],
    folder: Path,
    settings: Settings,
) -> dict[str, Spread]:
    """Fine-tune a model once for every seed, by `open-codesage finetune`.

    An interrupted training resumes from its newest checkpoint. Of a finished one only `training.json` is kept, which
    is what tells that it need not be repeated.

    Args:
        model: folder or Hub id to start from.
        task: the set.
        method: train all weights, or an adapter.
        seeds: one training each.
        folder: gets a folder for every seed.
        settings: of the trainings.

    Raises:
        ValueError: the model cannot be opened, or the folder holds trainings with other settings.
    """
    figures = []
    for seed in seeds:
        output = folder / f"seed-{seed}"
        finetune(
            FinetuneConfig(
                model=model,
                data=str(task.files["train"]),
                eval_data=str(task.files["valid"]),
                test_data=str(task.files["test"]),
                output=output,
                task="classification",
                method=method,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                max_length=settings.max_length,
                learning_rate=settings.learning_rate,
                warmup_steps=settings.warmup_steps,
                patience=None,
                seed=seed,
                trainer={"weight_decay": settings.weight_decay},
            )
        )
        figures.append(read_json(output / LOG)["metrics"]["test"]["fine-tuned"])
        _remove_weights(output)
    return _spread(figures)


def _remove_weights(output: Path) -> None:
    shutil.rmtree(run_folder(output), ignore_errors=True)
    for path in output.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOG:
            path.unlink()


def classify_by_words(task: ClassificationTask) -> dict[str, Spread]:
    """Classify by logistic regression on tf-idf of words and pairs of words: the baseline without an encoder.

    Words are those of BM25 (`split_words`). What stands in a single training row is left out.
    """
    words = TfidfVectorizer(
        tokenizer=split_words, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=2, sublinear_tf=True
    )
    classifier = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    classifier.fit(task.rows["train"].texts, task.numbers("train").numpy())
    predicted = classifier.predict(task.rows["test"].texts)
    return _spread([measure_classes(predicted, task.numbers("test").numpy())])


def _spread(figures: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    spreads = {}
    for metric in ("macro_f1", "accuracy"):
        values = [figure[metric] for figure in figures]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        spreads[metric] = Spread(statistics.fmean(values), deviation, values)
    return spreads
