"""Functions and methods of a source text: their documentation, their code without it, their hard positive.

Contract: documentation never stays on the code side. A function's code is the whole function, decorators or annotations
included, without its documentation and without that of parameters, functions and classes in it. Its hard positive
(section 3.2 of the paper) is the body alone, without the function's own return statements; those of nested functions
stay.

Only explicit return statements are removed. An expression body (`x => x + 1`) or the last expression of a Ruby method
is the body itself: without it nothing would be left to learn from.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from .comments import attach_comments
from .conventions import CONVENTIONS
from .definitions import Definition, Definitions
from .documentation import clean, summarize
from .excerpts import Span, excerpt
from .source import DEFAULT_LIMITS, Limits, Source, parse

_WORD = re.compile(r"\w")


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


class Survey(NamedTuple):
    """The functions of a text.

    Attributes:
        functions: Those that were asked for, in order.
        total: How many have a body, with a name or without, documented or not.
    """

    functions: list[Function]
    total: int


def functions_of(source: Source, documented_only: bool = True) -> list[Function]:
    """All functions of a parsed text; see `extract_functions`."""
    return survey(source, documented_only).functions


def survey(source: Source, documented_only: bool = True) -> Survey:
    """All functions of a parsed text, and how many there are; see `extract_functions`."""
    found = Definitions(source)
    attach_comments(source, found)
    documentation = sorted(found.documentation)
    functions = [
        _function(source, found, documentation, function)
        for function in found.functions
        if function.documentation or not documented_only
    ]
    return Survey(functions, found.total)


def _function(source: Source, found: Definitions, documentation: list[Span], function: Definition) -> Function:
    convention = CONVENTIONS[source.language.convention]
    texts = [clean(source.slice(*span), convention) for span in sorted(function.documentation)]
    inside = _inside_braces(source, function.body)
    other_texts = _within(documentation, inside)
    comments = _within(found.comments, inside)
    returns = found.returns[function.body]
    body = excerpt(source.data, inside, (*other_texts, *comments))
    rest = excerpt(source.data, inside, (*other_texts, *comments, *returns)) if returns else body
    hard_positive = excerpt(source.data, inside, (*other_texts, *returns)) if comments else rest
    return Function(
        name=function.name,
        summary=next(filter(None, (summarize(text, convention, function.name) for text in texts)), ""),
        documentation="\n\n".join(filter(None, texts)),
        code=excerpt(source.data, function.span, _within(documentation, function.span)),
        hard_positive=hard_positive if _WORD.search(rest) else "",
        start_line=function.lines[0],
        end_line=function.lines[1],
        body_lines=sum(1 for line in body.split("\n") if _WORD.search(line)),
        has_error=function.has_error and not (source.language.error_share and _braces_balance(source, function.span)),
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
