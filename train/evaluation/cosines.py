"""How far the cosines of what belongs together stand from those of what does not.

Contract: `cosine_histograms` counts, in fixed bins, the cosines of pairs of a query and its answer, and of random pairs
of a query and a document that does not answer it. The same task and embeddings give the same counts: long lists of
pairs are thinned evenly, and the random pairs are those of a fixed seed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..retrieval.protocols import EmbeddingRanker
from ..retrieval.task import Task

PAIRS = 10_000
"""At most so many pairs of either kind."""

BINS = 100

_BLOCK = 1024


def cosine_histograms(task: Task, ranker: EmbeddingRanker) -> dict[str, Any]:
    """Count cosines.

    Returns:
        `bins`, their edges from -1 to 1; `parallel` and `random`, each the counts of pairs in a bin; and the means
        `parallel_mean` and `random_mean`, that of random pairs None if every document answers every query.
    """
    parallel = [
        (query, document) for query, found in enumerate(task.relevant) for document in sorted(found - task.own[query])
    ]
    parallel = [parallel[place] for place in np.linspace(0, len(parallel) - 1, min(PAIRS, len(parallel))).astype(int)]
    generator = np.random.default_rng(0)
    drawn = zip(
        generator.integers(len(task.queries), size=PAIRS).tolist(),
        generator.integers(len(task.documents), size=PAIRS).tolist(),
        strict=True,
    )
    random = [pair for pair in drawn if pair[1] not in task.relevant[pair[0]] | task.own[pair[0]]]
    edges = np.linspace(-1, 1, BINS + 1)
    histograms: dict[str, Any] = {"bins": edges.round(6).tolist()}
    for kind, pairs in (("parallel", parallel), ("random", random)):
        cosines = _cosines(ranker, pairs)
        # Rounding may lead beyond 1.
        histograms[kind] = np.histogram(cosines.clip(-1, 1), edges)[0].tolist()
        histograms[f"{kind}_mean"] = float(cosines.mean()) if len(cosines) else None
    return histograms


def percentiles(histograms: Mapping[str, Any], kind: str, shares: Sequence[float] = (0.05, 0.5, 0.95)) -> list[float]:
    """Cosines below which these shares of pairs lie, to the width of a bin.

    Args:
        histograms: what `cosine_histograms` gives.
        kind: `parallel` or `random`.
        shares: between 0 and 1.

    Returns:
        A cosine for each share; none if there are no pairs.
    """
    below = np.cumsum(histograms[kind])
    if not below[-1]:
        return []
    return [float(histograms["bins"][np.searchsorted(below, share * below[-1]) + 1]) for share in shares]


def _cosines(ranker: EmbeddingRanker, pairs: list[tuple[int, int]]) -> npt.NDArray[np.float64]:
    found = []
    for start in range(0, len(pairs), _BLOCK):
        queries, documents = np.array(pairs[start : start + _BLOCK]).T
        left, right = (
            np.asarray(vectors[numbers], dtype=np.float64)
            for vectors, numbers in ((ranker.queries, queries), (ranker.documents, documents))
        )
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        found.append((left * right).sum(1) / np.maximum(lengths, 1e-12))
    return np.concatenate(found) if found else np.empty(0)
