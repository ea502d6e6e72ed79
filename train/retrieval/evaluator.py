"""A search task as an evaluator of sentence-transformers: what a training measures is what `evaluate` measures."""

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from .encoder import Encoder
from .protocols import EmbeddingRanker, measure_task
from .task import ALL, Task


class SearchEvaluator(SentenceEvaluator):
    """Searches the whole collection of a task with the model in training.

    Args:
        task: what is searched for; only its protocol `full` is measured.
        batch_size: texts that are embedded at once.
        depth: a document that is ranked lower counts as not found.
    """

    def __init__(self, task: Task, batch_size: int, depth: int = 1000) -> None:
        super().__init__()
        self.task, self.batch_size, self.depth = task, batch_size, depth
        self.primary_metric = "mrr"

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measure a model: what `measure_rankings` gives, in percent."""
        encoder = Encoder(model, self.batch_size, show_progress=False)
        ranker = EmbeddingRanker(encoder.queries(self.task.query_texts), encoder.documents(self.task.document_texts))
        return measure_task(self.task, ranker, self.depth)["full"][ALL]
