"""The same functions come out of a text however its lines end, with a byte order mark or without."""

import pytest
from open_codesage.tokenization import LANGUAGES, Function, extract_functions, language_of_path

from .test_languages import FIXTURES, SOURCES, language_of, read

ENDS = {"CRLF": "\r\n", "CR": "\r", "byte order mark": "\n", "byte order mark and CRLF": "\r\n"}
DASHES = "-" * 40
RULE = {
    "c": [
        f"/*{DASHES}\n * Reads the settings of the shop.\n *{DASHES}*/",
        "/**************************************\n"
        " * Reads the settings of the shop.    *\n **************************************/",
        f"//{DASHES}\n// Reads the settings of the shop.\n//{DASHES}",
        "/* clang-format off\n * Reads the settings of the shop.\n */",
    ],
    "cpp": [
        f"///{DASHES}\n/// Reads the settings of the shop.\n///",
        "/*!\n  \\brief Reads the settings of the shop.\n\n  More.\n*/",
    ],
    "csharp": ["/// <summary>\n/// Reads the settings\n/// of the shop.\n/// </summary>\n/// <returns>It.</returns>"],
    "go": [
        "//go:noinline\n// Reads the settings of the shop.\n//\n// +build linux",
        f"// {DASHES}\n// Reads the settings of the shop.\n//nolint:all",
    ],
    "java": [
        "/**\n * Reads the settings of the shop.\n *\n * @return it\n */",
        "/// Reads the settings\n/// of the shop.\n///\n/// @return it",
    ],
    "javascript": ["/**\n * Reads the settings of the shop.\n * @returns {string} it\n */"],
    "typescript": ["/**\n * @description\n * Reads the settings of the shop.\n * @returns it\n */"],
    "php": ["/**\n * Reads the settings\n * of the shop.\n *\n * @return string\n */"],
    "ruby": [
        "# rubocop:disable All\n# Reads the settings of the shop.\n#\n# @return [String]",
        "=begin\nReads the settings of the shop.\n=end",
        "##\n# :method: f\n# Reads the settings of the shop.",
    ],
    "python": [],
}
CODE = {
    "csharp": "class A {\n‹doc›\nvoid F(int a)\n{\n\tint b = a;\n\tLog(b);\n}\n}\n",
    "java": "class A {\n‹doc›\nvoid f(int a)\n{\n\tint b = a;\n\tlog(b);\n}\n}\n",
    "go": "package p\n\n‹doc›\nfunc F(a int) {\n\tb := a\n\tlog(b)\n}\n",
    "php": "<?php\n‹doc›\nfunction f($a)\n{\n\t$b = $a;\n\tlog($b);\n}\n",
    "ruby": "‹doc›\ndef f(a)\n  b = a\n  puts b\nend\n",
    "c": "‹doc›\nint f(int a)\n{\n\tint b = a;\n\tlog(b);\n}\n",
    "cpp": "‹doc›\nint f(int a)\n{\n\tint b = a;\n\tlog(b);\n}\n",
    "javascript": "‹doc›\nfunction f(a)\n{\n\tlet b = a;\n\tlog(b);\n}\n",
    "typescript": "‹doc›\nfunction f(a: number)\n{\n\tlet b = a;\n\tlog(b);\n}\n",
}


def changed(text: str, ends: str) -> str:
    return ("\ufeff" if "mark" in ends else "") + text.replace("\n", ENDS[ends])


def functions(text: str, language: str) -> list[Function]:
    return extract_functions(text, language, documented_only=False)


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("path", SOURCES)
def test_functions_of_a_file_do_not_depend_on_line_ends(path, ends):
    text = read(FIXTURES / path).replace("\r\n", "\n")
    language = language_of(path)
    assert language_of_path(path) == language
    assert functions(changed(text, ends), language) == functions(text, language) != []


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize(("language", "comment"), [(name, comment) for name in RULE for comment in RULE[name]])
def test_rules_boxes_and_directives_are_told_whatever_ends_a_line(language, comment, ends):
    text = CODE[language].replace("‹doc›", comment)
    (function,) = functions(changed(text, ends), language)
    assert function.summary == "Reads the settings of the shop."
    assert [function] == functions(text, language)


def test_every_language_is_tried():
    assert RULE.keys() == LANGUAGES.keys()


@pytest.mark.parametrize("ends", ENDS)
def test_a_first_function_keeps_its_indentation(ends):
    text = "def f():\n    'It\\\n is.'\n    x = 1\n\n    return x\n"
    (function,) = functions(changed(text, ends), "python")
    assert function.code == "def f():\n    x = 1\n\n    return x"
    assert (function.summary, function.start_line, function.end_line) == ("It is.", 1, 6)


def test_returns_before_line_feeds_are_lines_of_their_own():
    """What is left where line ends were converted twice."""
    (function,) = functions("def f():\r\r\n    x = 1\r\r\n    return x\r\r\n", "python")
    assert function.code == "def f():\n\n    x = 1\n\n    return x"
