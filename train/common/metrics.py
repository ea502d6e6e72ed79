"""From predicted classes, and from rankings, to metrics in percent."""

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score


def measure_classes(predicted: npt.NDArray[np.int64], true: npt.NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and the mean over classes of the harmonic mean of precision and recall (macro-F1).

    Args:
        predicted: class numbers, int [N].
        true: class numbers, int [N].

    Returns:
        `accuracy` and `macro_f1`, in percent. The mean is over the classes that occur in either array; one that is
        never predicted counts as zero.
    """
    return {
        "accuracy": 100 * float(accuracy_score(true, predicted)),
        "macro_f1": 100 * float(f1_score(true, predicted, average="macro", zero_division=0)),
    }


_MEASURED_AT_ONCE = 500


def mean_figures(
    measures: Mapping[str, ir_measures.measures.Measure],
    rankings: Sequence[Sequence[int]],
    relevant: Sequence[frozenset[int]],
) -> dict[str, float]:
    """Mean figures of some rankings, in percent.

    Args:
        measures: measures of ir-measures, by the names that they get.
        rankings: document numbers, best first, for every query.
        relevant: the relevant documents of every query, at least one each.
    """
    totals = dict.fromkeys(measures.values(), 0.0)
    for start in range(0, len(relevant), _MEASURED_AT_ONCE):
        rows = range(start, min(start + _MEASURED_AT_ONCE, len(relevant)))
        qrels = {str(row): {str(document): 1 for document in relevant[row]} for row in rows}
        # The library breaks ties by name: scores that fall with the rank leave it none to break.
        run = {str(row): {str(document): -rank for rank, document in enumerate(rankings[row])} for row in rows}
        for value in ir_measures.iter_calc(list(totals), qrels, run):
            totals[value.measure] += value.value
    return {name: 100 * totals[measure] / len(relevant) for name, measure in measures.items()}
