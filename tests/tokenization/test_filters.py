"""Which functions become pairs. Each case breaks one rule only, and the function it is made from breaks none."""

from dataclasses import replace

import pytest
from open_codesage.tokenization import LANGUAGES, REJECTIONS, Function, rejection_reason

GOOD = Function(
    name="total",
    summary="Return the sum of all prices.",
    documentation="Return the sum of all prices.",
    code="def total(self):\n    values = list(self)\n    values.sort()\n    return sum(values)",
    hard_positive="values = list(self)\nvalues.sort()",
    start_line=1,
    end_line=5,
    body_lines=3,
    has_error=False,
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_pair_passes(language):
    assert rejection_reason(GOOD, language) is None


CASES = [
    ("syntax_error", {"has_error": True}),
    ("no_summary", {"summary": ""}),
    ("no_summary", {"summary": "--- ."}),
    ("no_description", {"summary": "TODO: return the sum of all prices."}),
    ("no_description", {"summary": "See the class for what this returns."}),
    ("no_description", {"summary": "Copyright 2020 by the authors of this."}),
    ("no_description", {"summary": "Preconditions: the lock of the mapping must be held."}),
    ("no_description", {"summary": "Write implements the vfs.FileDescription interface."}),
    ("no_description", {"summary": "Default implementation of shop.Cart#sum()."}),
    ("no_description", {"summary": "Note that this is as slow as the other one."}),
    ("no_description", {"summary": "Deprecated: use total instead of this."}),
    ("no_description", {"summary": "Required method for Designer support - do not modify."}),
    ("no_description", {"summary": "<include file='docs.xml' path='docs/doc' />"}),
    ("summary_too_short", {"summary": "TurboPrice 1.1"}),
    ("no_description", {"summary": "@return the sum of all prices"}),
    ("summary_too_short", {"summary": "The sum."}),
    ("summary_too_long", {"summary": "the sum of it " * 65}),
    ("not_english", {"summary": "Gibt die Summe aller Preise zurück, auch wenn nötig über größere Mengen."}),
    ("not_english", {"summary": "Gibt Summe aller Preise als Dezimalzahl ohne Rundung aus"}),
    ("not_english", {"summary": "返回所有价格的总和 sum price total"}),
    ("test", {"name": "test_total"}),
    ("test", {"name": "testTotal"}),
    ("test", {"name": "setUp"}),
    ("body_too_short", {"body_lines": 1}),
    ("code_too_long", {"code": "x = 1\n" * 4_000}),
    ("empty_hard_positive", {"hard_positive": ""}),
    ("empty_hard_positive", {"hard_positive": "'use strict';"}),
    ("empty_hard_positive", {"hard_positive": "try {\n} catch (Error error) {\n}"}),
    ("accessor", {"name": "get_total", "hard_positive": "values = list(self)"}),
    ("accessor", {"name": "isTotal", "hard_positive": "values = list(self)\n\n}"}),
    ("summary_in_code", {"code": GOOD.code + "  # return the   sum\n# of all prices"}),
]


@pytest.mark.parametrize(("reason", "change"), CASES)
def test_reasons(reason, change):
    assert rejection_reason(replace(GOOD, **change), "python") == reason


def test_every_reason_is_shown():
    assert {reason for reason, _ in CASES} | {"special_method"} == set(REJECTIONS)


@pytest.mark.parametrize(
    "change",
    [
        {"summary": "The sum of"},
        {"summary": "the sum of it " * 64},
        {"summary": "Return the naïve sum of all prices that are in the shop today."},
        {"summary": "Todos of this user as a list."},
        {"name": "testament_of"},
        {"name": "setup"},
        {"name": "get_total"},
        {"name": "issue", "hard_positive": "values = list(self)"},
        {"body_lines": 2},
    ],
)
def test_what_is_just_good_enough(change):
    assert rejection_reason(replace(GOOD, **change), "python") is None


@pytest.mark.parametrize(
    ("language", "name", "reason"),
    [
        ("python", "__init__", "special_method"),
        ("python", "__len", None),
        ("java", "Inventory", "special_method"),
        ("java", "hashCode", "special_method"),
        ("java", "hash", None),
        ("javascript", "constructor", "special_method"),
        ("typescript", "toJSON", "special_method"),
        ("typescript", "Inventory", None),
    ],
)
def test_special_methods_are_those_of_the_language(language, name, reason):
    assert rejection_reason(replace(GOOD, name=name), language) == reason


def test_unknown_language():
    with pytest.raises(ValueError, match="unknown language"):
        rejection_reason(GOOD, "cobol")
