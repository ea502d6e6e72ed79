"""Parsing under limits: positions are those of the text, and no text hangs, crashes or disappears without a reason."""

import gc
import os
import subprocess
import sys
import sysconfig
import time
import tracemalloc
from pathlib import Path

import pytest
from open_codesage.tokenization import Limits, Unparsable, decode, extract_functions, find_identifiers, parse
from open_codesage.tokenization import source as source_module

STDLIB = Path(sysconfig.get_path("stdlib"))

CODE = {
    "python": 'def größe(名字, b):\n    """Doc 🛒 of it."""\n    s = "é🛒" + 名字\n    return größe(s, b)\n',
    "java": 'class A {\n  /** Doc 🛒 of it. */\n  int größe(int 名字) { int s = "é🛒"; return größe(名字 + s); }\n}\n',
    "javascript": "/** Doc 🛒 of it. */\nfunction größe(名字, b) {\n let s = `é🛒${名字}`;\n return größe(s, b);\n}\n",
    "typescript": 'class A {\n  /** Doc 🛒 of it. */\n  #größe(名字: Ä) { let s = "é🛒"; this.#größe(名字 + s) }\n}',
}
FUNCTION = {
    "python": ["größe", "名字", "b", "s", "名字", "größe", "s", "b"],
    "java": ["A", "größe", "名字", "s", "größe", "名字", "s"],
    "javascript": ["größe", "名字", "b", "s", "名字", "größe", "s", "b"],
    "typescript": ["A", "größe", "名字", "Ä", "s", "größe", "名字", "s"],
}


def names(text: str, language: str) -> list[str]:
    identifiers = find_identifiers(text, language)
    assert [text[x.start : x.end] for x in identifiers] == [x.name for x in identifiers]
    return [x.name for x in identifiers]


@pytest.mark.parametrize("language", CODE)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text, id="as it is"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r\n", 2), id="mixed line ends"),
        pytest.param(lambda text: text.replace("    ", "\t").replace("  ", "\t"), id="tabs"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace("🛒", "👩\u200d👩\u200d👧" * 50), id="joined emoji"),
        pytest.param(lambda text: text.replace("🛒", "\ud83d"), id="lone surrogate"),
        pytest.param(lambda text: text.replace("é", "e\u0301"), id="combining accent"),
        pytest.param(lambda text: text.rstrip("\n"), id="no line end at the end"),
    ],
)
def test_positions_are_characters_of_the_text(language, change):
    text = change(CODE[language])
    assert names(text, language) == FUNCTION[language]
    (function,) = extract_functions(text, language)
    assert function.summary.startswith("Doc")
    assert "Doc" not in function.code
    assert "\r" not in function.code + function.hard_positive + function.documentation


@pytest.mark.parametrize(
    ("text", "grammar", "is_clean"),
    [
        ("let a = <T>b;", "language_typescript", True),
        ("let a = <T>b</T>;", "language_tsx", True),
        ("let a = b;", "language_typescript", True),
        ("let a = <T>b; f(<U>c); let = = ;", "language_typescript", False),
        ("let a = <T>b</T>; f(<U>c</U>); let = = ;", "language_tsx", False),
    ],
)
def test_the_grammar_that_reads_a_text_best_is_taken(text, grammar, is_clean):
    source = parse(text, "typescript")
    assert source.grammar.function == grammar
    assert (source.wrong_bytes() == 0) == is_clean


def test_characters_of_bytes():
    text = "é = '🛒' + x\nπ = é"
    source = parse(text, "python")
    expected = [len(text.encode()[:position].decode()) for position in (0, 2, 5, 14, 16)]
    assert source.characters([0, 2, 5, 14, 16]) == expected != [0, 2, 5, 14, 16]
    assert source.characters([]) == []
    assert parse("", "python").characters([0]) == [0]


@pytest.mark.parametrize("language", CODE)
@pytest.mark.parametrize("text", ["", "\n", " \t\r\n", "\ufeff", "\f"])
def test_nothing_in_nothing(language, text):
    assert find_identifiers(text, language) == []
    assert extract_functions(text, language) == []


@pytest.mark.parametrize(("language", "text"), [("python", "# one two\n# é 🛒"), ("java", "// one two\n/** é 🛒 */")])
def test_comments_only(language, text):
    assert find_identifiers(text, language) == []
    assert extract_functions(text, language) == []


@pytest.mark.parametrize("function", [find_identifiers, extract_functions])
@pytest.mark.parametrize(
    ("language", "text", "reasons"),
    [
        ("python", "(" * 100_000 + ")" * 100_000, {"too_deep", "too_slow"}),
        ("python", "x" + ".a" * 100_000, {"too_deep", "too_slow"}),
        ("python", "[" * 100_000, {"too_deep", "too_wide", "too_slow"}),
        ("python", "lambda: " * 100_000, {"too_wide", "too_slow"}),
        ("java", "(" * 100_000 + ")" * 100_000, {"too_wide", "too_slow"}),
        ("java", "class A {" * 100_000, {"too_deep", "too_wide", "too_slow"}),
    ],
    ids=lambda value: value[:8] if isinstance(value, str) else "",
)
def test_deep_nesting_ends_with_a_reason(function, language, text, reasons):
    start = time.process_time()
    with pytest.raises(Unparsable) as error:
        function(text, language)
    assert error.value.reason in reasons
    assert time.process_time() - start < 10


@pytest.mark.parametrize("function", [find_identifiers, extract_functions])
@pytest.mark.parametrize("text", ["**/" + "*/" * 800, "x = " + "*a/\n" * 800 + "a\n", ("*名.b - c" * 9 + "#\n") * 99])
def test_many_readings_end_with_a_reason(function, text):
    """Found by benchmarks/hostile.py: 1.6 kB take 0.3 GB, 10 kB take 13 GB, in one step of the parser."""
    with pytest.raises(Unparsable, match="200 starred") as error:
        function(text, "python")
    assert error.value.reason == "too_ambiguous"


def test_asterisks_that_are_not_ambiguous():
    text = '"""' + "* - " * 190 + '"""\n# ' + "*" * 1_000 + "\n" + "print(*a, *b / c, 2**d)\n" * 1_000
    assert len(find_identifiers(text, "python")) == 4_000


def test_nesting_at_the_limit():
    limits = Limits(depth=500)
    shallow, deep = "(" * 400 + "x" + ")" * 400, "(" * 600 + "x" + ")" * 600
    assert [x.name for x in find_identifiers(shallow, "python", limits)] == ["x"]
    with pytest.raises(Unparsable, match="500") as error:
        find_identifiers(deep, "python", limits)
    assert error.value.reason == "too_deep"
    # Width is not depth.
    assert len(find_identifiers("x = 1\n" * 20_000, "python", limits)) == 20_000


def test_depth_limit_is_below_what_the_query_engine_loses():
    depth = Limits().depth - 10
    assert [x.name for x in find_identifiers("(" * depth + "x" + ")" * depth, "python")] == ["x"]


def test_size_limit_counts_bytes():
    assert find_identifiers("é = 1", "python", Limits(bytes=6))
    with pytest.raises(Unparsable, match="6 bytes, the limit is 5") as error:
        find_identifiers("é = 1", "python", Limits(bytes=5))
    assert error.value.reason == "too_large"


@pytest.mark.skipif(not source_module._CAN_STOP_A_PARSE, reason="tree-sitter 0.25 cannot stop a parse")
def test_time_limit():
    text = "x = [1, 2, 3]\n" * 20_000
    with pytest.raises(Unparsable, match=r"0\.0 s") as error:
        parse(text, "python", Limits(seconds=0.0))
    assert error.value.reason == "too_slow"
    # The next parse starts afresh.
    assert len(find_identifiers("y = 1", "python")) == 1


def test_huge_line():
    text = "value = [" + "item(1), " * 50_000 + "]"
    identifiers = find_identifiers(text, "python")
    assert len(identifiers) == 50_001
    methods = "class A { " + "/** Doc of it. */ void f() { g(); return; } " * 5_000 + "}"
    start = time.process_time()
    functions = extract_functions(methods, "java")
    assert time.process_time() - start < 10
    # Only a comment that starts its line is documentation: behind code it belongs to the code.
    assert functions == []


@pytest.mark.parametrize("language", CODE)
def test_nul_is_binary(language):
    for function in (find_identifiers, extract_functions):
        with pytest.raises(Unparsable) as error:
            function("x = 1\0", language)
        assert error.value.reason == "binary"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"x = 1\r\n", "x = 1\r\n"),
        (b"\xef\xbb\xbfx = 1", "x = 1"),
        ("é🛒".encode(), "é🛒"),
        (b"", ""),
    ],
)
def test_decode(data, expected):
    assert decode(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x7fELF\0\0", "binary"),
        ("x = 1".encode("utf-16"), "binary"),
        (b"# caf\xe9\n", "not_utf8"),
        (b"x = '\xf0\x9f'", "not_utf8"),
        (b"\xed\xa0\x80", "not_utf8"),
    ],
)
def test_decode_refuses_with_a_reason(data, reason):
    with pytest.raises(Unparsable) as error:
        decode(data)
    assert error.value.reason == reason


@pytest.mark.parametrize("language", CODE)
def test_syntax_error_is_a_reason_for_identifiers_not_for_functions(language):
    broken = CODE[language] + "\n?? ) = (\n"
    with pytest.raises(Unparsable) as error:
        find_identifiers(broken, language)
    assert error.value.reason == "syntax_error"
    assert isinstance(error.value, ValueError)
    assert [f.name for f in extract_functions(broken, language)] == ["größe"]


def test_every_cut_of_a_file_has_a_result():
    text = (STDLIB / "textwrap.py").read_text("utf-8")[:3_000]
    results = set()
    for end in range(0, len(text), 37):
        extract_functions(text[:end], "python")
        try:
            names(text[:end], "python")
            results.add("parsed")
        except Unparsable as error:
            results.add(error.reason)
    assert results == {"parsed", "syntax_error"}


def test_a_parse_leaves_no_memory_behind():
    """The library never frees what its reading callback returns: whole texts, were they returned as bytes."""
    text = "def f(x):\n    return x\n" * 2_000
    parse(text, "python")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20):
        find_identifiers(text, "python")
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20 * len(text) / 10  # 40 times as much with bytes.


def test_what_defines_a_language_is_told_in_the_same_way_by_every_process():
    """Rows that were prepared with it are found again: sets of strings have another order in each process."""
    program = "from open_codesage.tokenization.languages import LANGUAGES\n"
    program += "from open_codesage.tokenization.source import definition_of\n"
    program += "print(repr(LANGUAGES['javascript'].transparent), [definition_of(language) for language in LANGUAGES])"
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    ]
    sets, definitions = zip(*(line.split(") ", 1) for line in said), strict=True)
    assert len(set(sets)) > 1
    assert len(set(definitions)) == 1
