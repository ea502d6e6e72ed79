"""One model on one task: its figures, and how they came about.

Contract: `measure` gives figures by protocol, part and metric, and the facts of the run; from the store if this model
has done this task before under the same settings.
"""

import json
import time
from typing import TYPE_CHECKING, Any

from ..common.console import say
from ..common.identity import package_versions
from ..retrieval.protocols import EmbeddingRanker, Figures, measure_task
from ..retrieval.task import ALL, Task
from .cache import Store
from .catalogue import AnyTask, MtebTask
from .classification_tasks import ClassificationTask
from .comments import task_without_comments
from .cosines import cosine_histograms
from .models import Model, Subject
from .presets import Treatment, treatment_of
from .results import SCHEMA

if TYPE_CHECKING:
    from .config import EvaluateConfig

ByPart = dict[str, dict[str, Figures]]
Record = dict[str, Any]

LEARNT = {"linear": "linear", "full": "full fine-tuning", "lora": "lora", "words": "words"}
"""What the protocols of classification are called in the results; `full` is one of search."""


def measure(subject: Subject, task: AnyTask, about: dict[str, Any], config: "EvaluateConfig", store: Store) -> Record:
    """Measure a model on a task.

    Args:
        subject: the model.
        task: the task.
        about: what `describe` tells about the task.
        config: settings of the run.
        store: where embeddings and finished results are kept.

    Returns:
        `figures` by protocol, part and metric, in percent; `facts` of the run; `cosines` as `cosine_histograms` gives
        them, or None.

    Raises:
        ValueError: the model cannot do the task; the message says why.
    """
    treatment = treatment_of(task, config)

    def compute() -> dict[str, Any]:
        begin = time.perf_counter()
        try:
            if isinstance(task, Task):
                found = _search(subject, task, treatment, config)
            elif isinstance(task, ClassificationTask):
                found = _classify(subject, task, treatment, config)
            else:
                found = _mteb(subject, task, treatment)
        except ValueError as error:
            raise ValueError(f"{subject.name} on {task.name}: {error}") from error
        return found | {"facts": found["facts"] | {"seconds": round(time.perf_counter() - begin, 1)}}

    settings = (str(treatment), config.cutoff, config.depth, config.classification, config.seeds)
    return store.result([subject.hash, json.dumps([SCHEMA, task.name, about, settings, package_versions()])], compute)


def _search(subject: Subject, task: Task, treatment: Treatment, config: "EvaluateConfig") -> Record:
    facts: dict[str, Any] = {"comments_removed": treatment.remove_comments}
    if treatment.remove_comments:
        task, counts = task_without_comments(task)
        facts |= counts
    ranker, lengths = subject.search(task, treatment)
    figures = measure_task(task, ranker, config.depth, config.cutoff)
    cosines = cosine_histograms(task, ranker) if isinstance(ranker, EmbeddingRanker) else None
    return {"figures": figures, "facts": facts | lengths, "cosines": cosines}


def _classify(subject: Subject, task: ClassificationTask, treatment: Treatment, config: "EvaluateConfig") -> Record:
    """Every way of learning is a protocol; the standard deviation over seeds is a metric of its own."""
    spreads, facts = subject.classify(task, config.classification, config.seeds, treatment)
    figures: ByPart = {}
    for method, by_metric in spreads.items():
        values = {metric: spread.mean for metric, spread in by_metric.items()}
        values |= {f"{metric} sd": spread.sd for metric, spread in by_metric.items() if spread.sd is not None}
        figures[LEARNT[method]] = {ALL: values}
    return {"figures": figures, "facts": facts, "cosines": None}


def _mteb(subject: Subject, task: MtebTask, treatment: Treatment) -> Record:
    """The library embeds and ranks by itself, so it takes an open model, and nothing else."""
    if not isinstance(subject, Model):
        say(f"evaluate {subject.name} on {task.name}: left out, since mteb measures models only")
        return {"figures": {}, "facts": {"left_out": "mteb measures models only"}, "cosines": None}
    from .mteb_tasks import measure_mteb

    with subject.limited(treatment) as length:
        figures, facts = measure_mteb(task.task, subject.opened, subject.batch_size)
    return {"figures": figures, "facts": {"max_length": length, "mteb": facts["mteb"]}, "cosines": None}
