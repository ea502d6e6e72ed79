"""From predicted and true classes to figures."""

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
