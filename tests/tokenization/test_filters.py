"""Which functions become pairs. Each case breaks one rule only, and the function it is made from breaks none."""

import time
from dataclasses import replace

import pytest
from open_codesage.tokenization import LANGUAGES, REJECTIONS, Function, rejection_reason
from open_codesage.tokenization.prose import is_code

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
    ("commented_out", {"summary": "def old(x) x + 1 end", "documentation": "def old(x)\n  x + 1\nend"}),
    ("commented_out", {"summary": "total = 0; count = 0;", "documentation": "total = 0;\ncount = 0;"}),
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
    ("test", {"code": "TEST_F(Shop, total)\n{\n    values();\n    sort();\n}"}),
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
        {"summary": "C = A * B, where A is sparse", "documentation": "C = A * B, where A is sparse"},
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


CODE = [
    "def old(x)\n  x + 1\nend",
    "func old(a int) int {\n\treturn a + 1\n}",
    "int old(int a)\n{\n  return a + 1;\n}",
    "public void old(int a) {\n  this.total = a;\n}",
    "old.call(x, y)\nreturn old",
    "x = foo(y)\nbar(x)",
    "x = foo(y)",
    "if (x > 3) {\n  old(x);\n}",
    'log.info("The price was added to the sum");',
    "return $this->total;",
    "@total = price + 1",
    "$x = $this->get($y);",
    "const y = await get(z);",
    "for (int i = 0; i < n; i++)\n  sum += i;",
    "#include <stdio.h>",
    "#if 0",
    "if err != nil {\n\treturn err\n}",
    "defer file.Close()",
    "@items.each do |item|\n  item.add\nend",
    "class Old < Base",
    "for x in items:\n    print(x)",
    "while i < 10:",
    "case 1:",
    "std::vector<int> prices;",
    "std::cout << x << std::endl;",
    "List<String> names = new ArrayList<>();",
    "from x import y",
    'raise ValueError("no price is given")',
    "render json: @user",
    "items.map(x => x + 1)",
    "throw new Error('the price of it');",
    "total += price",
    "assert total == 3",
    "foo->bar = baz;",
    "export function old(a) {",
    "private static String name(int a)",
    "x++;",
    "return if x.nil?",
    "puts 'the sum of it'",
    "}",
]
PROSE = [
    "Returns the sum.",
    "If x is greater than 3: returns y.",
    "for each item: do it",
    "Gets a value (e.g. x = 3).",
    "Sets x = 3.",
    "Opens the file; closes it.",
    "return the value",
    "foo(x): does it",
    "foo(x) does a thing",
    "import data from the file",
    "class for things",
    "x = the value of it",
    "raise an error",
    "while loop",
    "with a lock held:",
    "Calls foo() and bar();",
    "from a to b",
    "Is x > 3?",
    "if needed",
    "def of a thing",
    "Function to add two numbers (fast)",
    "struct for it",
    "static analysis of code (fast)",
    "new user",
    "delete the user;",
    "[x] does it",
    "(internal) does it",
    "i++ does it",
    "C = A * B",
    "Const = Name Type",
    "word = atom / quoted-string",
    "return 1 if the monitor supports it, 0 otherwise",
    "Box(A) overlaps Box(B)",
    "Adds one:\n  x = add(1);\n  log(x);",
    "see x = foo(y);\nfor it",
    "default: no value",
    "",
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_told(text):
    assert is_code(text)


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_no_code(text):
    assert not is_code(text)


@pytest.mark.parametrize("piece", ["(", "a(", "a.", "a[", "x = ", "if ", "a b ", "{", "* ", "<", "def ", ", a", "'"])
def test_long_text_takes_no_long_time(piece):
    start = time.process_time()
    is_code(piece * 20_000)
    assert time.process_time() - start < 5


def test_code_with_a_description_before_it_is_described():
    documentation = "Returns the sum of all prices.\n\ntotal = sum(prices)"
    assert rejection_reason(replace(GOOD, documentation=documentation), "python") is None
    # The name that stood before the summary is no part of it.
    documentation = "total() --\n    Returns the sum of all prices."
    assert rejection_reason(replace(GOOD, documentation=documentation), "python") is None
