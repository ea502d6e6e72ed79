"""Every language of the table does what its fixture says.

`tests/fixtures/languages/<language>/` has `identifiers.txt`, a source text in which every identifier is written as
‹name|kind›, and `functions.<extension>` with `functions.yaml`, which lists all that is extracted from it.
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
MARK = re.compile(r"‹([^‹›|]+)\|(\w+)›")


def marked_text(language: str) -> str:
    return read(FIXTURES / language / "identifiers.txt")


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def mark(text: str, identifiers: list[Identifier]) -> str:
    parts, end = [], 0
    for identifier in identifiers:
        parts += text[end : identifier.start], f"‹{identifier.name}|{identifier.kind}›"
        end = identifier.end
    return "".join(parts) + text[end:]


def source_of_functions(language: str) -> Path:
    return next(path for path in (FIXTURES / language).iterdir() if language_of_path(path) == language)


def test_every_language_has_a_fixture():
    assert sorted(LANGUAGES) == sorted(path.name for path in FIXTURES.iterdir())


@pytest.mark.parametrize("language", LANGUAGES)
def test_identifiers_are_those_of_the_fixture(language):
    marked = marked_text(language)
    text = MARK.sub(r"\1", marked)
    assert mark(text, find_identifiers(text, language)) == marked


@pytest.mark.parametrize("language", LANGUAGES)
def test_fixture_shows_every_kind(language):
    kinds = {match[2] for match in MARK.finditer(marked_text(language))}
    assert kinds == {"class", "function", "parameter", "variable", "attribute", "call", "type"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_ids_number_the_names_in_order_of_first_appearance(language):
    text = MARK.sub(r"\1", marked_text(language))
    identifiers = find_identifiers(text, language)
    names = list(dict.fromkeys(identifier.name for identifier in identifiers))
    assert [identifier.id for identifier in identifiers] == [names.index(x.name) + 1 for x in identifiers]
    assert len(names) < len(identifiers)


@pytest.mark.parametrize("language", LANGUAGES)
def test_renaming_and_back_gives_the_text(language):
    text = MARK.sub(r"\1", marked_text(language))
    identifiers = find_identifiers(text, language)
    names = {identifier.id: identifier.name for identifier in identifiers}
    parts, end = [], 0
    for identifier in identifiers:
        parts += text[end : identifier.start], f"⟦{identifier.id}⟧"
        end = identifier.end
    obfuscated = "".join(parts) + text[end:]
    assert obfuscated != text
    assert re.sub(r"⟦(\d+)⟧", lambda match: names[int(match[1])], obfuscated) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_functions_are_those_of_the_fixture(language):
    expected = yaml.safe_load(read(FIXTURES / language / "functions.yaml"))
    functions = extract_functions(read(source_of_functions(language)), language)
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
    plain, members = builtins_of(LANGUAGES[language])
    assert len(plain) > 10
    assert all(re.fullmatch(r"[\w$]+[!?]?", name) for name in plain | members)


def test_spellings_and_extensions_belong_to_one_language():
    for field in ("aliases", "extensions"):
        spellings = [spelling for row in LANGUAGES.values() for spelling in getattr(row, field)]
        assert len(spellings) == len(set(spellings))


def test_unknown_language_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown language 'cobol'.*java.*python"):
        find_identifiers("x", "cobol")
    assert language_of_path("README.md") is None
