"""Some hundred damaged archives, recipes and model folders: each is used or refused; see benchmarks/hostile.py."""

import runpy
from collections import Counter
from pathlib import Path

import pytest

HOSTILE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "hostile.py"))


@pytest.mark.parametrize(
    ("make", "attempt", "count", "outcomes"),
    [
        ("make_archives", "attempt_archive", 300, {"read", "damaged"}),
        ("make_recipes", "attempt_recipe", 150, {"refused"}),
        ("make_models", "attempt_model", 12, {"refused", "opened"}),
    ],
)
def test_damaged_inputs_are_used_or_refused(make, attempt, count, outcomes):
    results = [(file, HOSTILE[attempt](file)) for file in HOSTILE[make](count, seed=1)]
    assert [(file.language, file.data[:500], result) for file, result in results if result.startswith("fault")] == []
    counts = Counter(result for _, result in results)
    assert outcomes <= counts.keys()  # Not vacuous: some go all the way.


def test_the_same_seed_makes_the_same_inputs():
    for make in ("make_archives", "make_recipes", "make_models"):
        first, again, other = (list(HOSTILE[make](10, seed)) for seed in (1, 1, 2))
        assert first == again != other
