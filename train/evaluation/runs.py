"""One model on one task: its figures, and how they came about.

Contract: `measure` gives figures by protocol, part and metric, and the facts of the run; from the store if this model
has done this task before under the same settings.
"""

import json
import time
from typing import TYPE_CHECKING, Any

from .catalogue import AnyTask, MtebTask, describe
from .identity import package_versions
from .probing import ClassificationTask
from .protocols import Figures, measure_task
from .results import ALL, SCHEMA
from .store import Store
from .subjects import Subject
from .tasks import Task

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

ByPart = dict[str, dict[str, Figures]]


def measure(subject: Subject, task: AnyTask, config: "EvaluateConfig", store: Store) -> tuple[dict[str, Any], ByPart]:
    """Measure a model on a task.

    Returns:
        The facts of the run, and its figures by protocol, part and metric, in percent.

    Raises:
        ValueError: the model can not do the task; the message says why.
    """

    def compute() -> dict[str, Any]:
        begin = time.perf_counter()
        try:
            if isinstance(task, Task):
                figures, facts = _search(subject, task, config)
            elif isinstance(task, ClassificationTask):
                figures, facts = _classify(subject, task, config)
            else:
                figures, facts = _mteb(subject, task, config)
        except ValueError as error:
            raise ValueError(f"{subject.name} on {task.name}: {error}") from error
        return {"figures": figures, "facts": facts | {"seconds": round(time.perf_counter() - begin, 1)}}

    search = (config.max_length, config.query_max_length, config.cutoff, config.depth)
    classes = (config.max_length, config.classification, config.seeds)
    settings = classes if isinstance(task, ClassificationTask) else search
    record = store.result(
        [SCHEMA, subject.hash, task.name, json.dumps([describe(task), settings, package_versions()])], compute
    )
    return {"model": subject.name, "task": task.name, **record["facts"]}, record["figures"]


def _search(subject: Subject, task: Task, config: "EvaluateConfig") -> tuple[ByPart, dict[str, Any]]:
    ranker, facts = subject.search(task)
    return measure_task(task, ranker, config.depth, config.cutoff), facts


def _classify(subject: Subject, task: ClassificationTask, config: "EvaluateConfig") -> tuple[ByPart, dict[str, Any]]:
    """Every way of learning is a protocol; the standard deviation over seeds is a metric of its own."""
    figures: ByPart = {}
    for method in config.classification:
        spreads = subject.classify(task, method, config.seeds)  # type: ignore[arg-type]
        by_metric: Figures = {}
        for metric, spread in spreads.items():
            by_metric[metric] = spread.mean
            if spread.sd is not None:
                by_metric[f"{metric} sd"] = spread.sd
        figures[method] = {ALL: by_metric}
    return figures, {}


def _mteb(subject: Subject, task: MtebTask, config: "EvaluateConfig") -> tuple[ByPart, dict[str, Any]]:
    raise ValueError(f"{task.name} is a task of mteb, which can not be measured yet")
