"""Functions and methods of a source text: their documentation, their code without it, their hard positive.

Contract: documentation never stays on the code side. A function's code is the whole function, decorators or annotations
included, without its documentation and without that of functions and classes nested in it. Its hard positive (section
3.2 of the paper) is the body alone, without the function's own return statements; those of nested functions stay.

A language's `functions.scm` captures:

* `@function` with `@name` and `@body`: a function. Matches with the same body are one function, as wide as the widest
  `@function`: further patterns take in decorators, `export`, or the assignment in which a function stands;
* `@documentation`: documentation inside the tree's node (docstrings), in one match with `@body` where it is that of the
  function of this body;
* `@comment`: every comment. Those that the language's row calls documentation belong to the function right below;
* `@annotation`: what stands above a function's node but belongs to its signature: decorators of TypeScript methods, and
  overloads, whose `@name` in the same match must be the function's;
* `@return`: return statements; `@closure`: functions without a name, whose returns are theirs.

Only explicit return statements are removed. An expression body (`x => x + 1`) or the last expression of a Ruby method
is the body itself: without it nothing would be left to learn from.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

import tree_sitter

from .documentation import CONVENTIONS, clean, summarize
from .excerpts import Span, excerpt
from .nesting import OUTSIDE, Nesting
from .source import DEFAULT_LIMITS, Limits, Source, parse

_WORD = re.compile(r"\w")
_BLANK = re.compile(rb"(?:\s|\xef\xbb\xbf)*")  # a byte order mark, too


@dataclass(frozen=True)
class Function:
    """A function or method.

    Attributes:
        name: Its name, without class or module.
        summary: First sentence of the documentation; empty if it has none (only tags, for example).
        documentation: The documentation as plain text, without comment markers, markup and URLs; empty if there is
            none.
        code: The function without any documentation, set flush left, lines ending in a line feed.
        hard_positive: The body in the same form, without return statements of its own; empty if no code is left in it.
        start_line: First line of the function in the text, from 1 (of the first decorator where there is one).
        end_line: Last line, inclusive.
        body_lines: How many lines of the body hold code (not only comments or brackets).
        has_error: Whether the grammar found a syntax error in it.
    """

    name: str
    summary: str
    documentation: str
    code: str
    hard_positive: str
    start_line: int
    end_line: int
    body_lines: int
    has_error: bool


def extract_functions(
    text: str, language: str, limits: Limits = DEFAULT_LIMITS, documented_only: bool = True
) -> list[Function]:
    """All functions and methods of a text in order, before any corpus filter.

    Args:
        text: Source code, a whole file or a part.
        language: Name or alias of a language.
        limits: What the text may cost.
        documented_only: Whether functions without documentation are left out.

    Raises:
        ValueError: The language is unknown.
        Unparsable: The text is outside the limits. A syntax error is no reason: it spoils the functions in which it
            stands, and these say so by `has_error`.
    """
    return functions_of(parse(text, language, limits), documented_only)


def functions_of(source: Source, documented_only: bool = True) -> list[Function]:
    """All functions of a parsed text; see `extract_functions`."""
    tree = _Tree(source)
    return [_function(source, tree, found) for found in tree.functions if found.documentation or not documented_only]


def _function(source: Source, tree: _Tree, found: _Found) -> Function:
    convention = CONVENTIONS[source.language.convention]
    documentation = [clean(source.slice(*span), convention) for span in sorted(found.documentation)]
    inside = _inside_braces(source, found.body)
    other_text = _within(tree.documentation, inside)
    comments = _within(tree.comments, inside)
    returns = tree.returns[found.body]
    body = excerpt(source.data, inside, (*other_text, *comments))
    rest = excerpt(source.data, inside, (*other_text, *comments, *returns)) if returns else body
    hard_positive = excerpt(source.data, inside, (*other_text, *returns)) if comments else rest
    return Function(
        name=found.name,
        summary=next(filter(None, (summarize(text, convention, found.name) for text in documentation)), ""),
        documentation="\n\n".join(filter(None, documentation)),
        code=excerpt(source.data, found.span, _within(tree.documentation, found.span)),
        hard_positive=hard_positive if _WORD.search(rest) else "",
        start_line=found.lines[0],
        end_line=found.lines[1],
        body_lines=sum(1 for line in body.split("\n") if _WORD.search(line)),
        has_error=found.has_error and not (source.language.error_share and _braces_balance(source, found.span)),
    )


def _inside_braces(source: Source, body: Span) -> Span:
    start, end = body
    if source.language.braces and source.data[start : start + 1] == b"{" and source.data[end - 1 : end] == b"}":
        return start + 1, end - 1
    return body


def _braces_balance(source: Source, span: Span) -> bool:
    return source.data.count(b"{", *span) == source.data.count(b"}", *span)


def _within(spans: list[Span], around: Span) -> list[Span]:
    return spans[bisect_left(spans, (around[0], 0)) : bisect_left(spans, (around[1], 0))]


@dataclass
class _Found:
    """A function in the tree (positions in bytes, lines from 1)."""

    body: Span
    span: Span
    lines: tuple[int, int]
    name: str = ""
    has_error: bool = False
    documentation: list[Span] = field(default_factory=list)

    def take_in(self, node: tree_sitter.Node) -> None:
        """Widen the function to a node around it or beside it."""
        self.span = min(self.span[0], node.start_byte), max(self.span[1], node.end_byte)
        self.lines = min(self.lines[0], node.start_point.row + 1), max(self.lines[1], node.end_point.row + 1)
        self.has_error = self.has_error or node.has_error


_Annotation = tuple[tree_sitter.Node, list[str]]


class _Tree:
    """What the query finds in a text.

    Attributes:
        functions: All functions in order.
        documentation: All documentation of functions and classes, sorted.
        comments: All comments, sorted.
        returns: By the span of a body, the return statements of that function itself.
    """

    def __init__(self, source: Source) -> None:
        found: dict[Span, _Found] = {}
        spans: dict[str, list[Span]] = {capture: [] for capture in ("comment", "closure", "return", "documentation")}
        annotations: dict[int, _Annotation] = {}
        for _, match in source.matches("functions"):
            for capture, nodes in match.items():
                if capture in spans:
                    spans[capture] += [node.byte_range for node in nodes]
            if "body" not in match and "annotation" not in match:
                continue
            names = [source.slice(*node.byte_range).lstrip(source.language.sigils) for node in match.get("name", ())]
            annotations.update((node.end_byte, (node, names)) for node in match.get("annotation", ()))
            for body in match.get("body", ()):
                function = found.setdefault(body.byte_range, _Found(body.byte_range, body.byte_range, (2**63, 0)))
                for node in match.get("function", ()):
                    function.take_in(node)
                function.name = names[-1] if names else function.name
                function.documentation += [node.byte_range for node in match.get("documentation", ())]
        self.functions = sorted((function for function in found.values() if function.name), key=lambda f: f.span)
        self.comments = sorted(spans["comment"])
        self.documentation = spans["documentation"]
        if source.language.documentation:
            self._attach_comments(source, annotations)
        self.documentation.sort()
        self.returns: defaultdict[Span, list[Span]] = defaultdict(list)
        owners = Nesting([*found, *spans["closure"]])
        for span in spans["return"]:
            owner = owners.innermost(span[0])
            if owner != OUTSIDE:
                self.returns[owners.spans[owner]].append(span)

    def _attach_comments(self, source: Source, annotations: dict[int, _Annotation]) -> None:
        """Give each function the documentation right above it and above its overloads.

        Between them may stand annotations, which become part of the function, and comments that are no documentation.
        """
        blocks = {end: start for start, end in _comment_blocks(source, self.comments)}
        ends = sorted({*blocks, *annotations})
        for function in self.functions:
            position = function.span[0]
            documented = False
            while (nearest := bisect_right(ends, position) - 1) >= 0:
                end = ends[nearest]
                lines = _lines_between(source.data, end, position)
                if lines is None:
                    break
                if end in annotations:
                    node, names = annotations[end]
                    if names and function.name not in names:
                        break
                    function.take_in(node)
                    position = node.start_byte
                    documented = False
                    continue
                block = blocks[end], end
                if documented:
                    break
                if documented := _is_documentation(source, block, lines):
                    function.documentation.append(block)
                    self.documentation.append(block)
                elif lines > 1:
                    break
                position = block[0]


def _comment_blocks(source: Source, comments: list[Span]) -> list[Span]:
    """Comments, with line comments on successive lines joined."""
    marker = source.language.line_comment.encode()
    data = source.data
    blocks: list[Span] = []
    end, joins = 0, False  # Of the last block, and whether a line comment on the next line belongs to it.
    for start, stop in comments:
        is_line = bool(marker) and data.startswith(marker, start)
        if is_line and joins and _lines_between(data, end, start) == 1:
            blocks[-1] = blocks[-1][0], stop
        else:
            blocks.append((start, stop))
            joins = is_line and _starts_line(data, start)
        end = stop
    return blocks


def _is_documentation(source: Source, block: Span, lines: int) -> bool:
    """Whether a comment block that many lines above a function documents it."""
    pattern = source.language.documentation
    text = source.slice(*block)
    if not (pattern and pattern.match(text) and _starts_line(source.data, block[0])):
        return False
    distant = source.language.distant_documentation
    return lines <= 1 or (lines == 2 and distant is not None and bool(distant.search(text)))


def _starts_line(data: bytes, position: int) -> bool:
    return _lines_between(data, data.rfind(b"\n", 0, position) + 1, position) == 0


def _lines_between(data: bytes, start: int, end: int) -> int | None:
    """How many lines on the end is from the start, None if anything but blanks is between them."""
    blank = _BLANK.match(data, start, end)
    return data.count(b"\n", start, end) if blank and blank.end() == end else None
