"""Measure how well a model finds held-out functions by their summaries.

Contract: `main(config)` ranks all held-out functions of a corpus for every summary and gives MRR and recall. The
model is "bm25", or a folder or Hub id for sentence-transformers or `AutoModel`.

Invariant: only held-out functions are used, so no training step of this package has seen them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_codesage.tokenization.languages import resolve_language

from ..console import say
from ..data.folders import new_folder


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a model, or BM25, by the search for held-out functions with their summaries.

    Attributes:
        model: "bm25", or a folder or Hub id that SentenceTransformer or AutoModel opens.
        corpus: corpus folder written by extract.
        output: folder to write metrics.json to; it must not exist yet. Nothing is written if none.
        languages: languages to measure; all of the corpus if none.
        batch_size: texts per batch.
        max_length: longest input in tokens, cut beyond; what the model was made for if none.
        cutoff: depth of the recall.
        depth: a function that is ranked lower counts as not found.
    """

    model: str
    corpus: Path
    output: Path | None = None
    languages: tuple[str, ...] = ()
    batch_size: int = 64
    max_length: int | None = None
    cutoff: int = 10
    depth: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        for name in ("batch_size", "max_length", "cutoff", "depth"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")
        if self.cutoff > self.depth:
            raise ValueError(f"cutoff is {self.cutoff}, beyond the depth of {self.depth}: give a smaller one")


def main(config: EvaluateConfig) -> dict[str, Any]:
    """Measure a model.

    Returns:
        What `metrics.json` holds: the model, the protocol, the numbers of queries and documents, the metrics in
        percent, and the MRR of a random order.

    Raises:
        ValueError: the corpus or the model is missing or malformed, nothing is held out, or the output is there
            already.
    """
    from ..data.corpus import Corpus
    from .ranking import chance_mrr, measure, top_k
    from .retrieval import held_out_search

    functions = Corpus(config.corpus).functions("held_out", config.languages or None)
    if not len(functions):
        raise ValueError(f"no function of {config.corpus} is held out: write the corpus again, with more source code")
    task = held_out_search(functions)
    if config.model == "bm25":
        from .bm25 import BM25

        rankings = BM25(task.documents).rank(task.queries, config.depth)
    else:
        from .encoder import Encoder

        encoder = Encoder(config.model, config.batch_size, config.max_length)
        rankings = top_k(encoder.queries(task.queries), encoder.documents(task.documents), config.depth)[0].numpy()
    metrics = measure(rankings, task.relevant, config.cutoff)
    result = {
        "model": config.model,
        "protocol": f"{task.protocol}, reciprocal rank within the first {config.depth}",
        "queries": len(task.queries),
        "documents": len(task.documents),
        "metrics": metrics,
        "chance_mrr": chance_mrr(task.relevant, len(task.documents)),
    }
    if config.output is not None:
        with new_folder(config.output) as folder:
            (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    figures = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
    say(f"evaluate {config.model}: {figures} (%), {len(task.queries)} queries, {len(task.documents)} functions")
    return result
