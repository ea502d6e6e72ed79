"""Temperature sampling over languages."""

from collections import Counter

import datasets
import pytest
from open_codesage.train.corpus.mixture import limit_languages, mix_languages

ROWS = datasets.Dataset.from_dict(
    {"language": ["python"] * 900 + ["ruby"] * 100 + ["c"] * 4, "number": list(range(1004))}
)


def shares(exponent, seed=0):
    return Counter(mix_languages(ROWS, exponent, seed)["language"])


def test_shares_follow_the_power_of_the_sizes():
    assert mix_languages(ROWS, 1.0, 0) is ROWS
    assert shares(0.5) == {"python": 717, "ruby": 239, "c": 48}  # 1004 * (30, 10, 2) / 42
    assert set(shares(0.0).values()) == {335}


def test_rows_are_repeated_evenly_and_drawn_by_the_seed():
    counts = Counter(mix_languages(ROWS, 0.5, 0)["number"])
    assert {counts[number] for number in range(900, 1000)} == {2, 3}
    assert {counts[number] for number in range(1000, 1004)} == {12}
    assert {counts[number] for number in range(900)} == {0, 1}
    assert mix_languages(ROWS, 0.5, 0)["number"] == mix_languages(ROWS, 0.5, 0)["number"]
    assert mix_languages(ROWS, 0.5, 0)["number"] != mix_languages(ROWS, 0.5, 1)["number"]


def test_an_exponent_outside_the_range_is_an_error():
    with pytest.raises(ValueError, match="language_exponent"):
        mix_languages(ROWS, 2.0, 0)


def test_files_of_each_language_are_drawn_up_to_a_size():
    rows = ROWS.add_column("text", ["é" * 500] * len(ROWS))  # 1,000 bytes each
    drawn = limit_languages(rows, 0.05, 0)
    assert Counter(drawn["language"]) == {"python": 50, "ruby": 50, "c": 4}
    assert len(set(drawn["number"])) == len(drawn)
    assert drawn["number"] == limit_languages(rows, 0.05, 0)["number"] != limit_languages(rows, 0.05, 1)["number"]
