"""Search as a measurement: embed, rank, BM25, and what a search task is."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .bm25 import BM25 as BM25
    from .encoder import Encoder as Encoder
    from .encoder import open_sentence_model as open_sentence_model
    from .evaluator import SearchEvaluator as SearchEvaluator
    from .protocols import EmbeddingRanker as EmbeddingRanker
    from .protocols import FusedRanker as FusedRanker
    from .protocols import WordRanker as WordRanker
    from .protocols import measure_rankings as measure_rankings
    from .protocols import measure_task as measure_task
    from .ranking import top_k as top_k
    from .task import Task as Task
    from .task import Text as Text
    from .task import held_out_search as held_out_search
    from .task import pair_search as pair_search

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "bm25": "BM25",
        "encoder": "Encoder open_sentence_model",
        "evaluator": "SearchEvaluator",
        "protocols": "EmbeddingRanker FusedRanker WordRanker measure_rankings measure_task",
        "ranking": "top_k",
        "task": "Task Text held_out_search pair_search",
    },
)
