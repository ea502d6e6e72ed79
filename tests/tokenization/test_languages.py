"""Every language of the table does what its fixture says.

`tests/fixtures/languages/<language>/` has `identifiers.txt`, a source text in which every identifier is written as
‹name|kind›, and `functions.<extension>` with `functions.yaml`, which lists all that is extracted from it. A language of
several grammars has more such files.
"""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml
from open_codesage.tokenization import (
    LANGUAGES,
    Identifier,
    extract_functions,
    find_identifiers,
    language_of_path,
    rejection_reason,
    resolve_language,
)
from open_codesage.tokenization.source import builtins_of

FIXTURES = Path(__file__).parents[1] / "fixtures" / "languages"
MARKED_TEXTS = [str(path.relative_to(FIXTURES)) for path in sorted(FIXTURES.glob("*/identifiers*.txt"))]
SOURCES = [str(path.relative_to(FIXTURES)) for path in sorted(FIXTURES.glob("*/*")) if language_of_path(path)]
MARK = re.compile(r"‹([^‹›|]+)\|(\w+)›")


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def mark(text: str, identifiers: list[Identifier]) -> str:
    parts, end = [], 0
    for identifier in identifiers:
        parts += text[end : identifier.start], f"‹{identifier.name}|{identifier.kind}›"
        end = identifier.end
    return "".join(parts) + text[end:]


def language_of(path: str) -> str:
    return path.partition("/")[0]


def test_every_language_has_a_fixture():
    assert sorted(LANGUAGES) == sorted(path.name for path in FIXTURES.iterdir())


@pytest.mark.parametrize("path", MARKED_TEXTS)
def test_identifiers_are_those_of_the_fixture(path):
    marked = read(FIXTURES / path)
    text = MARK.sub(r"\1", marked)
    assert mark(text, find_identifiers(text, language_of(path))) == marked


@pytest.mark.parametrize("language", LANGUAGES)
def test_fixture_shows_every_kind(language):
    kinds = {match[2] for match in MARK.finditer(read(FIXTURES / language / "identifiers.txt"))}
    assert kinds == {"class", "function", "parameter", "variable", "attribute", "call", "type"}


@pytest.mark.parametrize("path", MARKED_TEXTS)
def test_ids_number_the_names_in_order_of_first_appearance(path):
    text = MARK.sub(r"\1", read(FIXTURES / path))
    identifiers = find_identifiers(text, language_of(path))
    names = list(dict.fromkeys(identifier.name for identifier in identifiers))
    assert [identifier.id for identifier in identifiers] == [names.index(x.name) + 1 for x in identifiers]
    assert len(names) < len(identifiers)


@pytest.mark.parametrize("path", MARKED_TEXTS)
def test_renaming_and_back_gives_the_text(path):
    text = MARK.sub(r"\1", read(FIXTURES / path))
    identifiers = find_identifiers(text, language_of(path))
    names = {identifier.id: identifier.name for identifier in identifiers}
    parts, end = [], 0
    for identifier in identifiers:
        parts += text[end : identifier.start], f"⟦{identifier.id}⟧"
        end = identifier.end
    obfuscated = "".join(parts) + text[end:]
    assert obfuscated != text
    assert re.sub(r"⟦(\d+)⟧", lambda match: names[int(match[1])], obfuscated) == text


@pytest.mark.parametrize("path", SOURCES)
def test_functions_are_those_of_the_fixture(path):
    language = language_of(path)
    assert language_of_path(path) == language
    expected = yaml.safe_load(read((FIXTURES / path.lower()).with_suffix(".yaml")))
    functions = extract_functions(read(FIXTURES / path), language)
    found = [{**dataclasses.asdict(f), "rejection": rejection_reason(f, language)} for f in functions]
    assert [row["name"] for row in found] == [row["name"] for row in expected]
    for found_row, expected_row in zip(found, expected, strict=True):
        assert found_row == expected_row
    assert any(row["rejection"] is None for row in found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_row_names_itself(language):
    row = LANGUAGES[language]
    assert row.name == language
    assert resolve_language(language) == language
    assert resolve_language(f" {language.upper()} ") == language
    assert all(resolve_language(alias) == language for alias in row.aliases)
    assert all(
        language_of_path(Path("folder") / f"name{extension.upper()}") == language for extension in row.extensions
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_builtins_are_names(language):
    plain, members, keywords = builtins_of(LANGUAGES[language])
    assert len(plain) > 10
    assert keywords <= plain
    assert all(re.fullmatch(r"[\w$]+[!?]?", name) for name in plain | members)


def test_spellings_and_extensions_belong_to_one_language():
    for field in ("aliases", "extensions"):
        spellings = [spelling for row in LANGUAGES.values() for spelling in getattr(row, field)]
        assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int depot_weigh(const struct box *box);\n", "c"),
        ("/* class Box; of a namespace a::b, public: */\nstruct class { int namespace; };\n", "c"),
        ('#ifdef __cplusplus\nextern "C" {\n#endif\n#include <string.h>\n', "c"),
        ("#include <string>\n", "cpp"),
        ("class Box;\n", "cpp"),
        ("class EXPORT Box final : public Base {\n", "cpp"),
        ("inline namespace v1\n{\n", "cpp"),
        ("  template<typename T> struct Box;\n", "cpp"),
        ("using std::swap;\n", "cpp"),
        ("struct Box {\nprivate:\n", "cpp"),
    ],
)
def test_a_shared_extension_is_told_by_the_text(text, expected):
    assert language_of_path("include/box.H", lambda: text) == expected
    assert language_of_path("include/box.h") == "c"
    # Only then is the text asked for.
    assert language_of_path("box.cc", lambda: pytest.fail("read")) == "cpp"
    assert language_of_path("box.txt", lambda: pytest.fail("read")) is None


def test_unknown_language_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown language 'cobol'.*java.*python"):
        find_identifiers("x", "cobol")
    assert language_of_path("README.md") is None
