"""The outline of a text of a language with a grammar, off its syntax tree.

A language's `definitions.scm` captures, beside every `@comment`, the definitions that are no functions: the capture is
the kind (`@class`, `@enum`, `@constant` …), and `@name` its name. Where one is found with more around it (`export`,
decorators, a template's head), the widest counts.
"""

from __future__ import annotations

import tree_sitter
from open_codesage.tokenization.functions import functions_of
from open_codesage.tokenization.source import Source, parse

from ..corpus.rules import clean
from .cutting import FUNCTION, Definition, Outline

_TALL = 40
"""Lines of a statement inside which there are places to cut as well."""


def grammar_outline(text: str, language: str) -> Outline:
    """Outline a text.

    Args:
        text: source code, lines ending in a line feed.
        language: name of a language of the table.

    Raises:
        Unparsable: the text is outside the limits of the parser.
    """
    source = parse(text, language)
    definitions, comments = _definitions(source)
    for function in functions_of(source, documented_only=False):
        start, end = function.start_line - 1, function.end_line - 1
        above = _documented_from(start, comments)
        definitions.append(
            Definition(FUNCTION, function.name, start, end, above, function.documentation, function.code)
        )
    return Outline(definitions, lambda: _statement_lines(source.tree.root_node), _header(text))


def _definitions(source: Source) -> tuple[list[Definition], dict[int, int]]:
    """Definitions that are no functions; and the first line of each comment, by its last."""
    widest: dict[int, tuple[str, tree_sitter.Node, tree_sitter.Node]] = {}
    comments: dict[int, int] = {}
    for _, match in source.matches("definitions"):
        for node in match.pop("comment", ()):
            comments[node.end_point.row - (node.end_point.column == 0)] = node.start_point.row
        if "name" not in match:
            continue
        name = match.pop("name")[0]
        for kind, (node, *_) in match.items():
            known = widest.get(name.start_byte)
            if known is None or _width(node) > _width(known[1]) or known[0] == "type":
                widest[name.start_byte] = kind, node, name
    definitions = []
    for kind, node, name in widest.values():
        start, end = node.start_point.row, node.end_point.row
        called = source.bare(source.slice(*name.byte_range))
        definitions.append(Definition(kind, called, start, end, _documented_from(start, comments)))
    return definitions, comments


def _width(node: tree_sitter.Node) -> int:
    return node.end_byte - node.start_byte


def _documented_from(line: int, comments: dict[int, int]) -> int:
    """The first line of the comments right above a line, else the line."""
    while (above := comments.get(line - 1, line)) < line:
        line = above
    return line


def _header(text: str) -> range:
    """The lines of a licence header."""
    header = clean(text).header.rstrip()
    if not header:
        return range(0)
    first = text.count("\n", 0, text.index(header))
    return range(first, first + header.count("\n") + 1)


def _statement_lines(root: tree_sitter.Node) -> set[int]:
    starts: set[int] = set()
    open_nodes = [root]
    while open_nodes:
        for child in open_nodes.pop().children:
            starts.add(child.start_point.row)
            if child.end_point.row - child.start_point.row > _TALL:
                open_nodes.append(child)
    return starts
