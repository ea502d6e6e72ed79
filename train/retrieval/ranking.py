"""From embeddings to rankings, and from rankings to figures.

Contract: rankings are arrays of document numbers, best first. Ties are broken by the order of the documents, so the
same scores give the same ranking on every machine; scores are compared at a resolution of 1e-6, below which they
are noise.

Invariant: ranking in blocks gives what ranking at once gives; memory grows with the blocks and with what
is found, not with the product of queries and documents, and not with the documents where these lie on disk.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

RESOLUTION = 1e-6
"""Cosines that differ by less are equal."""


Vectors = torch.Tensor | npt.NDArray[np.float32]
"""Embeddings, float [N, D]; an array may be memory-mapped."""


def top_k(
    queries: Vectors,
    documents: Vectors,
    k: int,
    query_block: int = 256,
    document_block: int = 16_384,
    among: npt.NDArray[np.int64] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the documents nearest to each query by cosine, exactly.

    Args:
        queries: embeddings, float [Q, D]; they need not be normalised.
        documents: embeddings, float [N, D]; memory-mapped ones are read one block at a time.
        k: number of documents per query; all if there are fewer.
        query_block: queries compared at once.
        document_block: documents compared at once.
        among: numbers of the documents to compare, int64 [M], ascending; all if None.

    Returns:
        Document numbers, int64 [Q, min(k, M)], best first, and their cosines, float64, of the same shape.

    Raises:
        ValueError: the embeddings differ in width or are not finite.
    """
    if queries.shape[-1] != documents.shape[-1]:
        raise ValueError(f"queries have {queries.shape[-1]} dimensions, documents {documents.shape[-1]}: use one model")
    asked = _normalised(queries)
    count = len(documents) if among is None else len(among)
    best = [torch.empty(len(block), 0, dtype=torch.int64, device=asked.device) for block in asked.split(query_block)]
    for start in range(0, count, document_block):
        chosen = slice(start, start + document_block)
        offered = _normalised(documents[chosen if among is None else among[chosen]])
        # One whole number holds score and place, so that no two are equal and earlier documents are greater.
        places = count - 1 - torch.arange(start, start + len(offered), device=asked.device)
        for number, block in enumerate(asked.split(query_block)):
            scores = (block @ offered.T / RESOLUTION).round().long()
            keys = torch.cat([best[number], scores * count + places], dim=1)
            best[number] = keys.topk(min(k, keys.shape[1])).values
    keys = torch.cat(best)
    found = count - 1 - keys % count
    if among is not None:
        found = torch.as_tensor(among, device=found.device)[found]
    return found, keys.div(count, rounding_mode="floor").double() * RESOLUTION


def _normalised(vectors: Vectors) -> torch.Tensor:
    # A memory-mapped array is copied: torch warns of those that cannot be written to.
    rows = torch.from_numpy(np.array(vectors)) if isinstance(vectors, np.ndarray) else vectors
    if not rows.isfinite().all():
        raise ValueError("some embeddings are not finite: the model is broken, look at its training loss")
    return F.normalize(rows.float(), dim=-1)


def rank_functions(embeddings: Vectors, query: Vectors, k: int) -> list[tuple[int, float]]:
    """Find the functions nearest to one query: their numbers and cosines, best first.

    Args:
        embeddings: float [N, D], one a function.
        query: float [D].
        k: how many to find.
    """
    numbers, scores = top_k(torch.as_tensor(query)[None], torch.as_tensor(embeddings), k)
    return list(zip(numbers[0].tolist(), scores[0].tolist(), strict=True))


def chance_mrr(relevant: Sequence[frozenset[int]], documents: int) -> float:
    """The mean reciprocal rank to be expected of a random order, in percent.

    Args:
        relevant: the relevant documents of every query, at least one each.
        documents: how many documents there are.
    """
    ranks = np.arange(1, documents + 1)
    expected = {}
    for count in {len(numbers) for numbers in relevant}:
        # Share of orders in which none of `count` documents stands before a rank, and from that where the first stands.
        none_before = np.ones(documents + 1)
        for taken in range(count):
            none_before *= np.clip(documents - taken - np.arange(documents + 1), 0, None) / (documents - taken)
        expected[count] = ((none_before[:-1] - none_before[1:]) / ranks).sum()
    return float(100 * np.mean([expected[len(numbers)] for numbers in relevant]))
