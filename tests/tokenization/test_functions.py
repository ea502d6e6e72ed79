"""Documentation never stays on the code side, and a hard positive keeps all but signature and own returns."""

import re
import sysconfig
from pathlib import Path

import pytest
from open_codesage.tokenization import Unparsable, decode, extract_functions, rejection_reason
from open_codesage.tokenization.excerpts import excerpt
from open_codesage.tokenization.nesting import OUTSIDE, Nesting

STDLIB = Path(sysconfig.get_path("stdlib"))


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_no_summary_is_found_in_the_code_of_the_standard_library():
    pairs, without_documentation, leaks = 0, 0, []
    for path in sorted(STDLIB.glob("*.py")):
        for function in extract_functions(decode(path.read_bytes()), "python"):
            # What the filter against leaks would drop counts here: nothing may be left for it to find.
            if rejection_reason(function, "python") not in (None, "summary_in_code"):
                continue
            pairs += 1
            summary = words(function.summary)
            leaks += [function] if summary in words(function.code) or summary in words(function.hard_positive) else []
            without_documentation += "'''" not in function.code and '"""' not in function.code
    assert leaks == []
    # Not vacuous: there are many pairs, and hardly any code has a docstring's quotes left.
    assert pairs > 1_500
    assert without_documentation > 0.97 * pairs


def test_leakage_test_would_find_a_leak():
    text = (STDLIB / "textwrap.py").read_text("utf-8")
    lines = text.split("\n")
    functions = [f for f in extract_functions(text, "python") if not rejection_reason(f, "python")]
    raw = ["\n".join(lines[f.start_line - 1 : f.end_line]) for f in functions]
    assert len(functions) > 5
    assert all(words(f.summary) in words(code) for f, code in zip(functions, raw, strict=True))


def test_filter_finds_a_summary_that_the_code_repeats():
    text = 'def f(x):\n  """Open the file for reading."""\n  # Open the file,\n  # for reading\n  x = g(x)\n  h(x)\n'
    (function,) = extract_functions(text, "python")
    assert rejection_reason(function, "python") == "summary_in_code"
    (function,) = extract_functions(text.replace("# for reading", "# for writing"), "python")
    assert rejection_reason(function, "python") is None


def test_code_and_hard_positive_are_lines_of_the_file():
    for name in ("argparse.py", "textwrap.py", "enum.py", "typing.py"):
        lines = (STDLIB / name).read_text("utf-8").split("\n")
        for function in extract_functions("\n".join(lines), "python"):
            there = {line.strip() for line in lines[function.start_line - 1 : function.end_line]}
            assert {line.strip() for line in function.code.split("\n")} <= there | {""}
            # A statement behind a semicolon is cut out of its line.
            cut = {line for line in function.hard_positive.split("\n") if line.strip() not in there}
            assert all(any(line.strip() in whole for whole in there) for line in cut)


def returns(code: str) -> int:
    return len(re.findall(r"\breturn\b", code))


@pytest.mark.parametrize(
    ("language", "text", "kept"),
    [
        (
            "python",
            'def f(x):\n    """Do a thing."""\n    def g():\n        return 1\n    class A:\n        def h(self):\n'
            "            return 2\n    for y in x:\n        if y:\n            return 3\n    return 4\n",
            ["return 1", "return 2"],
        ),
        (
            "java",
            "class A {\n/** Do a thing. */\nint f() {\n  Runnable r = () -> { return; };\n"
            "  A o = new Object() { public String toString() { return 1; } };\n  if (o) return 3;\n  return 4;\n}}",
            ["return;", "return 1;"],
        ),
        (
            "javascript",
            "/** Do a thing. */\nconst f = function (x) {\nconst o = { g() { return 1; }, [x]: () => { return 2; } };\n"
            "class A { static h = () => { return 3; } }\nx.map((y) => { return 4; });\nif (x) return;\nreturn o;\n}",
            ["return 1;", "return 2;", "return 3;", "return 4;"],
        ),
        (
            "typescript",
            "abstract class A {\n/** Do a thing. */\nf(x?: B): C {\n  const g = function* <T>(): T { return 1; };\n"
            "  namespace(() => { return 2; });\n  if (<D>x) { return 3; }\n  return g as E;\n}}",
            ["return 1;", "return 2;"],
        ),
        (
            "cpp",
            "/// Do a thing.\ntemplate <class T> T A<T>::f(T x) {\n  auto g = [&](int y) -> T { return 1; };\n"
            "  struct B { T h() { return 2; } };\n  if (x) return g(x);\n  return 4;\n}",
            ["return 1;", "return 2;"],
        ),
        (
            "c",
            "/* Do a thing. */\nint f(a)\n  int a;\n{\n  int g(int x) { return 1; }\n#define R return 2\n"
            "#if A\n  return 3;\n#else\n  return g(a);\n#endif\n}",
            ["return 1;", "return 2"],
        ),
    ],
)
def test_returns_of_nested_functions_stay(language, text, kept):
    (function,) = extract_functions(text, language)
    assert all(part in function.hard_positive for part in kept)
    assert returns(function.hard_positive) == len(kept)
    assert returns(function.code) == len(kept) + 2


def test_a_method_looks_like_a_function():
    body = 'def f(self, x):\n    """Do a thing."""\n    if x:\n\n        y = 1\n    return y\n'
    method = "class A:\n  class B:\n" + "".join(f"\t    {line}\n" if line else "\n" for line in body.split("\n"))
    (function,), (nested,) = extract_functions(body, "python"), extract_functions(method, "python")
    assert nested.code == function.code == "def f(self, x):\n    if x:\n\n        y = 1\n    return y"
    assert nested.hard_positive == function.hard_positive == "if x:\n\n    y = 1"


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("/** Does it. */\n", "Does it."),
        ("/** Does it. */ ", "Does it."),
        ("/** Does it. */\n// between\n@Ann\n", "Does it."),
        ("/** Not this. */\nint x;\n/** Does it. */\n", "Does it."),
        ("/** Not this. */\n\n", None),
        ("int x; /** Not this. */\n", None),
        ("/* Not this. */\n", None),
        ("/**/\n", None),
        ("// Not this.\n", None),
        ("/** Not this. */\nint x;\n", None),
        ("/** Not this. */\n// far\n\n", None),
    ],
)
def test_which_comment_documents_a_function(above, expected):
    functions = extract_functions("class A {\n" + above + "void f() { a(); }\n}", "java")
    assert [f.summary for f in functions] == ([expected] if expected else [])


def test_syntax_error_spoils_only_the_function_it_stands_in():
    text = 'def f(x):\n  """Do a thing."""\n  return x\n\ndef g(x):\n  """Do another."""\n  x = = 2\n  return x\n'
    functions = extract_functions(text, "python")
    assert [(f.name, f.has_error) for f in functions] == [("f", False), ("g", True)]
    assert rejection_reason(functions[1], "python") == "syntax_error"


def test_macros_spoil_no_function_whose_braces_balance():
    body = "{\n  list_for_each(a, b) {\n    c(a);\n  }\n  return d;\n}\n"
    text = f"/* Do it. */\nstatic EXPORT struct x *f(int a UNUSED) {body}\n/* Do another. */\nint g(int a) {body}"
    functions = extract_functions(text, "c")
    assert [(f.name, f.summary, f.has_error) for f in functions] == [
        ("f", "Do it.", False),
        ("g", "Do another.", False),
    ]
    assert functions[0].code.startswith("static EXPORT struct x *f(")
    (broken,) = extract_functions("/* Do a thing. */\nint f(int a) { x = = '{'; b(); }\n", "c")
    assert rejection_reason(broken, "c") == "syntax_error"


EXCERPT = "top\r\n    if a:\r\n        b; c\r\n\r\n        d\r\n\t\te\r\nend"


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ([], "if a:\n    b; c\n\n    d\ne"),
        (["b;"], "if a:\n     c\n\n    d\ne"),
        # A line that is emptied goes, and the blank line below; one that was blank before stays.
        (["b; c"], "if a:\n    d\ne"),
        (["b;", " c"], "if a:\n    d\ne"),
        (["b; c", ";"], "if a:\n    d\ne"),
        (["d"], "if a:\n    b; c\n\ne"),
        (["if a:"], "b; c\n\nd\ne"),
        (["if a:\r\n        b"], "; c\n\n    d\ne"),
        (["top", "end"], "if a:\n    b; c\n\n    d\ne"),
        ([EXCERPT], ""),
    ],
)
def test_excerpt(removed, expected):
    spans = [(EXCERPT.index(part), EXCERPT.index(part) + len(part)) for part in removed]
    inside = EXCERPT.index("if a"), EXCERPT.index("end")
    assert excerpt(EXCERPT.encode(), inside, spans) == expected


def test_nesting_finds_the_innermost_span():
    spans = [(0, 100), (10, 40), (10, 20), (20, 30), (50, 60), (200, 300)]
    nesting = Nesting(reversed(spans))
    for position in range(320):
        around = [span for span in spans if span[0] <= position < span[1]]
        innermost = nesting.innermost(position)
        assert (nesting.spans[innermost] if innermost != OUTSIDE else None) == min(
            around, key=lambda span: span[1] - span[0], default=None
        )


def test_hostile_text_raises_or_gives_functions():
    for text in ('def f():\n"""', 'def f("""', "@\n", 'def f():\n "\\', "def f():\n r'''x", 'class A:\n """"""', "\\"):
        try:
            extract_functions(text, "python")
        except Unparsable as error:
            pytest.fail(f"{text!r}: {error}")
