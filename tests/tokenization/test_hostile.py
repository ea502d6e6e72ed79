"""Some hundred damaged files of every language: each is used or has a reason; see benchmarks/hostile.py."""

import runpy
from collections import Counter
from pathlib import Path

from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.tokenization.source import REASONS

HOSTILE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "hostile.py"))


def test_damaged_files_are_used_or_have_a_reason():
    seeds = HOSTILE["read_seeds"]([HOSTILE["FIXTURES"]], 10)
    assert seeds.keys() == LANGUAGES.keys()
    results = [(file, HOSTILE["attempt"](file)) for file in HOSTILE["make"](seeds, 300, seed=1)]
    assert [(file, result) for file, result in results if result not in ("used", *REASONS)] == []
    counts = Counter(result for _, result in results)
    assert counts["used"] > 20  # Not vacuous: some go all the way,
    assert len(counts) >= 4  # and others end for different reasons.


def test_a_result_that_is_not_as_promised_is_a_fault(monkeypatch):
    attempt = HOSTILE["attempt"]
    file = HOSTILE["Damaged"]("python", b"def f(x):\n    return x\n")
    assert attempt(file) == "used"
    monkeypatch.setitem(attempt.__globals__, "find_identifiers", lambda text, language: 1 / 0)
    assert attempt(file) == "fault: ZeroDivisionError: division by zero"
