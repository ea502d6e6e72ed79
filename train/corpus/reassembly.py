"""Source files out of documented functions, for Stage I where the files themselves cannot be had.

Contract: `files_of` puts the functions of a file together in their order, each below its documentation as a comment;
methods stand in a class that is called like the file, where the grammar takes them for something else without.

Invariants: a piece has no more than `PIECE` characters unless a function alone has them, so that one function which
cannot be parsed costs the identifiers of few others. A function inside another one is there once.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, NamedTuple

PIECE = 4000
"""Characters of a piece: about a row of Stage I, whose documents are cut there anyway."""

_FREE_FUNCTION = re.compile(
    r"(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:async\s+)?(?:function\b|(?:const|let|var|class)\b)"
    r"|[\w$.\[\]'\"]+\s*(?:=[^=>]|:)"
)
"""A function of JavaScript or TypeScript that is no method: it stands alone, is assigned, or is a property."""


class _Form(NamedTuple):
    """How a language writes comments, and where its methods stand.

    Attributes:
        line: What begins each line of a comment.
        first: What begins the comment; with `last`, what ends it, and must not stand in it.
        last: What ends the comment.
        opening: What stands before everything else.
        has_class: Whether methods need a class around them.
    """

    line: str = " * "
    first: str = "/**\n"
    last: str = "\n */"
    opening: str = ""
    has_class: bool = False


_FORMS = {
    "python": _Form("# ", "", ""),
    "ruby": _Form("# ", "", ""),
    "go": _Form("// ", "", ""),
    "csharp": _Form("/// ", "", "", has_class=True),
    "java": _Form(has_class=True),
    "php": _Form(opening="<?php\n", has_class=True),
    "javascript": _Form(has_class=True),
    "typescript": _Form(has_class=True),
}


def files_of(functions: Iterable[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Put functions together to files.

    Args:
        functions: Rows with the columns of `FUNCTION_COLUMNS`, those of a file one after another, in their order.

    Yields:
        Rows with the columns of `FILE_COLUMNS`, pieces of a long file one after another.
    """
    for (language, unit, path, licence), rows in groupby(functions, key=_origin):
        origin = {"language": language, "path": path, "licence": licence, "unit": unit}
        for piece in _pieces(_outermost(rows)):
            yield {"text": _text(piece, language, path), **origin}


def _origin(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["language"], row["unit"], row["path"], row["licence"]


def _outermost(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    end = 0
    for row in rows:
        if row["end_line"] > end:
            end = row["end_line"]
            yield row


def _pieces(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    piece: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        own = len(row["code"]) + len(row["documentation"])
        if piece and size + own > PIECE:
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += own
    if piece:
        yield piece


def _text(rows: list[dict[str, Any]], language: str, path: str) -> str:
    form = _FORMS.get(language, _Form())
    parts = [form.opening] if form.opening else []
    for is_method, group in groupby(rows, key=lambda row: form.has_class and _is_method(row["code"], language)):
        functions = [f"{_comment(row['documentation'], form)}\n{row['code']}\n" for row in group]
        if is_method:
            name = re.sub(r"\W", "", PurePosixPath(path).name.partition(".")[0]).lstrip("0123456789") or "Main"
            functions = [f"class {name} {{\n", *functions, "}\n"]
        parts += functions
    return "\n".join(parts)


def _is_method(code: str, language: str) -> bool:
    return language not in ("javascript", "typescript") or not _FREE_FUNCTION.match(code)


def _comment(documentation: str, form: _Form) -> str:
    text = documentation.replace("*/", "* /") if form.last else documentation
    text = text.replace("?>", "? >") if form.opening else text
    body = "\n".join((form.line + line).rstrip() for line in text.split("\n"))
    return f"{form.first}{body}{form.last}"
