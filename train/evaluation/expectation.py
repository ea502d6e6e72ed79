"""Measured figures against those of an earlier record, such as the one that a released model brings.

Contract: `compare(results, expected, tolerance)` takes two records (see `results.py`), raises on a mismatch, and
otherwise reports the largest difference.

Invariant: only figures of the same model (by its hash, or the only one of either record), data, protocol, part and
settings are compared, and at least one is.
"""

from collections.abc import Mapping
from typing import Any

from ..common.run import changed_settings
from .results import SHOWN

FREE = ("batch_size", "classification", "seeds", "languages")
"""Settings by which a record may differ: they change nothing, or what is measured but not how."""

Figure = tuple[str, str]


def compare(results: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> str:
    """Compare the figures of the first model.

    Args:
        results: what was measured now.
        expected: what was measured before.
        tolerance: largest difference, in points of percent.

    Returns:
        How many figures were compared, and the largest difference.

    Raises:
        ValueError: figures differ by more, or none can be compared.
    """
    wanted = {name: value for name, value in expected["settings"].items() if name not in FREE}
    if changed := changed_settings(wanted, {name: results["settings"].get(name) for name in wanted}):
        raise ValueError(f"the expected figures were measured with other settings: {'; '.join(changed)}")
    before, now = _figures(expected, _model(results, expected)), _figures(results, next(iter(results["models"])))
    differences = {figure: abs(now[figure] - before[figure]) for figure in now if figure in before}
    if not differences:
        raise ValueError("none of the expected figures was measured: name the tasks that they belong to by --tasks")
    far = [figure for figure, difference in differences.items() if difference > tolerance]
    if far:
        lines = [f"{figure[1]}: {before[figure]:.2f} expected, {now[figure]:.2f} measured" for figure in far]
        more = f"; and {len(far) - 5} more" if len(far) > 5 else ""
        raise ValueError(f"{len(far)} figures differ by more than {tolerance} points: {'; '.join(lines[:5])}{more}")
    return f"{len(differences)} figures agree with the expected ones, to {max(differences.values()):.3f} points"


def _model(results: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The name in the expected record of the model that was measured first."""
    own = next(iter(results["models"].values()))["hash"]
    same = [name for name, facts in expected["models"].items() if facts["hash"] == own]
    if not same and len(expected["models"]) > 1:
        raise ValueError("the expected figures are those of several models, and none of them is the first one measured")
    return same[0] if same else next(iter(expected["models"]))


def _figures(results: Mapping[str, Any], model: str) -> dict[Figure, float]:
    """Figures of a model by the hash of the data, and in words by task, protocol, part and metric."""
    named = ("task", "protocol", "part", "metric")
    return {
        (results["tasks"][row["task"]]["hash"], " ".join(row[name] for name in named)): row["value"]
        for row in results["rows"]
        if row["model"] == model and row["metric"] in SHOWN
    }
