"""Every line of code is in a unit, and a unit knows what it defines."""

from pathlib import Path

import pytest
from open_codesage.tokenization import LANGUAGES
from open_codesage.tokenization.source import definition_of
from open_codesage.train.search.cutting import LIMIT, cut
from open_codesage.train.search.grammar_outline import grammar_outline
from open_codesage.train.search.plain_outline import plain_outline, prose_outline

TREE = Path(__file__).parents[1] / "fixtures" / "search"
AREA = (TREE / "area.py").read_text()
SHOP = (TREE / "pkg" / "Shop.java").read_text()
READ = (TREE / "pkg" / "read.go").read_text()


def units(text, language=None):
    lines = text.split("\n")
    return cut(lines, grammar_outline(text, language) if language else plain_outline(lines))


def told(found):
    return [(unit.kind, unit.names, unit.scope, unit.start_line) for unit in found]


def test_functions_definitions_and_the_code_around_them_are_units():
    found = units(AREA, "python")
    assert told(found) == [
        ("code", ("TURNS",), (), 1),
        ("function", ("circle_area",), (), 6),
        ("class", ("Door",), (), 11),
        ("function", ("width",), ("Door",), 16),
        ("function", ("open_slowly",), ("Door",), 20),
    ]
    door = found[2]
    assert "hinges = 2" in door.code
    assert "Something to go through" in door.code
    assert "open_slowly" not in door.code
    assert found[1].documentation == "Compute the area of a circle."


def test_documentation_above_a_definition_is_its_own():
    shop = next(unit for unit in units(SHOP, "java") if unit.names == ("Shop",))
    assert (shop.kind, shop.start_line, shop.documentation) == ("class", 4, "/** Where things are sold. */")
    assert "private final Door door" in shop.code
    assert "Where things" not in shop.code


DEFINED = {
    "c": ("struct point {\n  int x;\n  int y;\n};\n#define LIMIT 4\nint table[] = {1};\n", {"point", "LIMIT", "table"}),
    "cpp": (
        "namespace geo {\ntemplate <class T>\nclass Box {\n  T t;\n};\nusing Sides = int;\n}\n",
        {"geo", "Box", "Sides"},
    ),
    "csharp": ("interface IDoor {\n  int Width\n  { get; }\n}\nenum Side {\n  Left,\n  Right\n}\n", {"IDoor", "Side"}),
    "go": ("package p\ntype Door struct {\n\tWidth int\n}\nconst Turns = 90\ntype F func()\n", {"Door", "Turns", "F"}),
    "java": ("record Door(\n  int width\n) {\n}\n@interface Slow {\n  int value();\n}\n", {"Door", "Slow"}),
    "javascript": ("class Door {\n  a = 1;\n  b = 2;\n}\nconst TURNS = 90;\n", {"Door", "TURNS"}),
    "php": ("<?php\ntrait Turns {\n  public $angle;\n  public $axis;\n}\nconst MOST = 4;\n", {"Turns", "MOST"}),
    "python": ("class Door:\n    a = 1\n    b = 2\n\nTURNS = 90\n", {"Door", "TURNS"}),
    "ruby": ("module Doors\n  class Door\n    SIDES = 2\n    attr_reader :x\n  end\nend\n", {"Doors", "Door", "SIDES"}),
    "typescript": (
        "export interface Door {\n  width: number;\n  side: Side;\n}\ntype Side = 'l' | 'r';\nexport const T = 1;\n",
        {"Door", "Side", "T"},
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_knows_what_it_defines_besides_functions(language):
    text, names = DEFINED[language]
    found = units(text, language)
    assert names <= {name for unit in found for name in unit.names}
    assert "@comment" in definition_of(language, ["definitions.scm"])


def test_every_line_of_words_is_in_a_unit():
    for text, language in ((AREA, "python"), (SHOP, "java"), (READ, "go"), (AREA, None), (SHOP, None)):
        inside = {number for unit in units(text, language) for number in range(unit.start_line, unit.end_line + 1)}
        documentation = "\n".join(unit.documentation for unit in units(text, language))
        for number, line in enumerate(text.split("\n"), start=1):
            words = line.strip(" /*#\"'.")
            assert not words.strip("{}();") or number in inside or words in documentation, line


def test_code_outside_is_cut_where_statements_begin():
    statement = "table_{0} = [\n    {1},\n]\n"
    text = "".join(statement.format(number, ", ".join(["1"] * 100)) for number in range(30))
    found = units(text, "python")
    assert len(found) > 3
    assert all(unit.code.startswith("table_") and unit.code.endswith("]") for unit in found)
    assert all(len(unit.code) < 2 * LIMIT for unit in found)
    assert [name for unit in found for name in unit.names] == [f"table_{number}" for number in range(30)]


def test_a_large_class_is_named_by_its_first_part_and_the_others_are_in_it():
    fields = "".join(f"    int field_{number} = {number}; // some words about it\n" for number in range(100))
    first, *further = units("class Large {\n" + fields + "}\n", "java")
    assert first.names == ("Large",)
    assert further
    assert all((unit.kind, unit.names, unit.scope) == ("class", (), ("Large",)) for unit in further)


def test_a_long_line_costs_itself_only():
    text = "LOGO = '" + "A" * 2000 + "'\n\n\ndef icon_for(extension):\n    return extension\n"
    for language in ("python", None):
        found = units(text, language)
        assert [unit.names for unit in found if unit.kind == "function"] == [("icon_for",)]
        assert not any("AAAA" in unit.code for unit in found)


def test_a_licence_header_is_in_no_unit():
    text = (
        "# Copyright 2020 Somebody. All rights reserved.\n# Licensed under the Apache License.\n\nimport os\nx = os\n"
    )
    assert [unit.code for unit in units(text, "python")] == ["import os\nx = os"]


RUST = """use std::fmt;

/// A thing to wait for.
#[derive(Debug)]
pub struct Gate<'a, T: Clone> {
    latch: T,
    name: &'a str,
}

pub trait Opens: Send {
    fn open(&mut self) -> bool;
}

impl<'a, T> fmt::Display for Gate<'a, T>
where
    T: Clone,
{
    /// Writes the name.
    fn fmt(
        &self,
        f: &mut fmt::Formatter,
    ) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}
"""
PLAIN = {
    "rust": (RUST, {"Gate": "struct", "Opens": "interface", "open": "function", "fmt": "function"}),
    "kotlin": (
        "data class Gate(\n  val name: String\n) {\n  suspend fun open(slow: Boolean): Int {\n    return 1\n  }\n}\n"
        "object Gates {\n    val all = 1\n    val none = 0\n}\n",
        {"Gate": "class", "open": "function", "Gates": "class"},
    ),
    "swift": (
        "public protocol Opens {\n  var a: Int { get }\n}\n"
        "extension Gate: Opens {\n  public func open() -> Int {\n    1\n  }\n}\n",
        {"Opens": "interface", "Gate": "module", "open": "function"},
    ),
    "scala": (
        "sealed trait Gate {\n  def open(slow: Boolean): Int = {\n    1\n  }\n}\n"
        "case class Iron(weight: Int)\n  extends Gate\n  with A\n",
        {"Gate": "interface", "open": "function", "Iron": "class"},
    ),
    "elixir": (
        "defmodule Gate do\n  @moduledoc false\n  def open(gate) do\n    gate\n  end\n\n"
        "  defp shut(gate), do: gate\nend\n",
        {"Gate": "module", "open": "function", "shut": "function"},
    ),
    "haskell": (
        "data Gate = Iron\n  | Wood\n  deriving Show\n\n"
        "openGate :: Gate -> Int\nopenGate Iron = 1\nopenGate Wood = 2\n",
        {"Gate": "type", "openGate": "function"},
    ),
    "lua": (
        "local M = {}\nfunction M.open(gate)\n  return gate\nend\nM.shut = function(gate)\n  return gate\nend\n",
        {"open": "function", "shut": "function"},
    ),
    "zig": (
        "pub const Gate = struct {\n    a: u8,\n    pub fn open(self: Gate) u8 {\n        return self.a;\n    }\n};\n",
        {"Gate": "struct", "open": "function"},
    ),
    "shell": (
        "open_gate() {\n  echo 1\n}\nfunction shut_gate {\n  echo 2\n}\n",
        {"open_gate": "function", "shut_gate": "function"},
    ),
    "sql": ("CREATE TABLE IF NOT EXISTS gates (\n  id int,\n  name text\n);\n", {"gates": "struct"}),
    "dart": ("class Gate {\n  int open(bool slow) {\n    return 1;\n  }\n}\n", {"Gate": "class", "open": "function"}),
}


@pytest.mark.parametrize("language", PLAIN)
def test_languages_without_a_grammar_are_cut_by_keywords_and_indentation(language):
    text, wanted = PLAIN[language]
    kinds: dict[str, str] = {}
    for unit in units(text):
        for name in unit.names:
            kinds.setdefault(name, unit.kind)  # what implements a trait for a type has the type's name as well
    assert {name: kinds.get(name) for name in wanted} == wanted


def test_a_plain_definition_reaches_to_its_end_and_has_the_comments_above():
    found = {unit.names[0]: unit for unit in units(RUST) if unit.names and unit.kind != "module"}
    assert (found["fmt"].start_line, found["fmt"].end_line) == (19, 24)
    assert found["fmt"].documentation == "/// Writes the name."
    assert found["fmt"].code.endswith("}")
    assert "A thing to wait for" in found["Gate"].documentation


def test_prose_is_cut_at_its_headings():
    text = (
        "# Doors\n\nAbout doors.\n\n## Opening\n\nTurn the handle,\nthen push.\n\nClosing\n-------\n\nPull.\nSoftly.\n"
    )
    lines = text.split("\n")
    found = cut(lines, prose_outline(lines))
    assert [(unit.kind, unit.names) for unit in found] == [
        ("section", ("Doors",)),
        ("section", ("Opening",)),
        ("section", ("Closing",)),
    ]


@pytest.mark.parametrize(
    "line", ["a" * 900, "fn " * 300, "pub " * 250, "x<" * 400, "(" * 900, "fn a<" + "<" * 200, "a b " * 200]
)
def test_hostile_lines_are_outlined_at_once(line):
    assert plain_outline([line] * 50).definitions is not None
