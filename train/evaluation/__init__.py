"""Evaluation: search and classification tasks by the paper's protocols, results, reports and ablations."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .classification_tasks import ClassificationTask as ClassificationTask
    from .classification_tasks import read_classification as read_classification
    from .config import EvaluateConfig as EvaluateConfig
    from .results import read_results as read_results
    from .tasks import make_task as make_task
    from .tasks import read_task as read_task

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "config": "EvaluateConfig",
        "tasks": "read_task make_task",
        "results": "read_results",
        "classification_tasks": "ClassificationTask read_classification",
    },
)
