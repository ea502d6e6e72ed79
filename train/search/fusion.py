"""The scores of an encoder and of BM25 made one.

Contract: `fuse` adds standard scores: of each ranker's scores of one query over all documents, the distance from their
mean in standard deviations, weighted. How far a document stands out counts, not only its rank.

Measured with a weak encoder and a strong one, this was never below either ranker alone, as reciprocal rank fusion was
with the weak one; see docs/commands/search.md. BM25's scores have the longer tail, so equal weights would follow it.
"""

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

ENCODER_WEIGHT = 0.7


def fuse(cosines: Scores, word_scores: Scores) -> Scores:
    """The weighted sum of the standard scores.

    Args:
        cosines: of all documents with one query, float [N].
        word_scores: BM25 of the same, float [N]; 0 for documents without a word of the query. If it tells no document
            from another, it adds nothing.

    Returns:
        One score per document, float64 [N].
    """
    return ENCODER_WEIGHT * _standard(cosines) + (1 - ENCODER_WEIGHT) * _standard(word_scores)


def _standard(scores: Scores) -> Scores:
    deviation = scores.std()
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros_like(scores)
