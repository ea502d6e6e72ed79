"""The outline of a text without a grammar, off keywords and indentation; and that of prose, off its headings.

Contract: a line that begins with a keyword of definitions (`fn`, `struct`, `trait`, `defmodule` … of some thirty
languages), or that looks like the head of a function, defines something. It reaches to the last line that is indented
further, and the closing bracket or `end` behind. Other code may be cut where a line that is not indented follows a
blank one.

It will be wrong about texts that are laid out in a way of their own. Then units are cut at other places, and nothing is
lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .cutting import FUNCTION, Definition, Outline

_KINDS = {
    "function": "fn func fun function sub proc def defp defmacro defmacrop defn defun define macro_rules! macro",
    "class": "class object actor defclass contract mixin",
    "struct": "struct union record defstruct defrecord message",
    "interface": "trait protocol interface defprotocol typeclass service",
    "enum": "enum",
    "type": "type typealias newtype data typedef opaque instance",
    "module": "mod module namespace defmodule defimpl impl extension library",
    "constant": "const static val let var",
}
_KIND_OF = {keyword: kind for kind, keywords in _KINDS.items() for keyword in keywords.split()}
_SOFT_WORDS = """
    data record message service library instance object actor type union mixin contract macro
"""
_SOFT = frozenset(_SOFT_WORDS.split())
"""Keywords that are common names as well: where they are indented, what they define begins with a capital."""

_MODIFIER = (
    r"(?:pub(?:\([^)]*\))?|public|private|protected|internal|fileprivate|open|override|final|abstract|sealed|static|async"
    r"|unsafe|extern(?:\s+\"[^\"]*\")?|export|default|inline|noinline|suspend|data|case|implicit|lazy|mutating|virtual"
    r"|partial|readonly|required|convenience|indirect|local|inner|value|annotation|companion|operator|infix|tailrec|expect"
    r"|actual|nonisolated|threadlocal|comptime|declare|opaque|transparent|@[\w.]+(?:\([^)]*\))?|create(?:\s+or\s+replace)?"
    r"|temporary)"
)
_KEYWORD = "|".join(sorted(map(re.escape, _KIND_OF), key=len, reverse=True))
_HEAD = re.compile(
    rf"(?P<indent>[ \t]*)(?:{_MODIFIER}\s+)*\(?(?P<keyword>{_KEYWORD})(?=[\s<(])(?:\s*<[^<>]*(?:<[^<>]*>[^<>]*)*>)?"
    r"\s*(?:\([^()]*\)\s*)?(?:[\w$.:<>?*&\[\], ]+?\s+for\s+)?(?:\w[\w$<>?]*(?:\.|::|:(?=\w)))*"
    r"(?P<name>`[^`]+`|[^\W\d][\w$'?!-]*)"
)
_TABLE = re.compile(
    r"(?P<indent>)create\s+(?:or\s+replace\s+)?(?:\w+\s+){0,2}?(?P<keyword>table|view|function|procedure|trigger|type)"
    r"\s+(?:if\s+not\s+exists\s+)?(?:[\w\"`]+\.)?[\"`]?(?P<name>\w+)",
    re.IGNORECASE,
)
_SHELL = re.compile(r"(?P<indent>[ \t]*)(?P<name>[\w:-]+)\s*\(\)\s*(?:\{|\(|$)")
_BOUND = re.compile(
    r"(?P<indent>[ \t]*)(?:(?:pub|local|export|const|var|let)\s+)*(?:\w+[.:])*(?P<name>[^\W\d]\w*)(?::[^=]*)?\s*=\s*"
    r"(?:(?:packed|extern)\s+)?(?P<keyword>function|struct|enum|union|opaque|class|fn|fun|Class)\b"
)
_SIGNED = re.compile(r"(?P<indent>)(?P<name>[a-z_][\w']*)\s*(?:,\s*[a-z_][\w']*\s*)*::\s")
_C_LIKE = re.compile(
    r"(?P<indent>[ \t]*)(?:[\w<>\[\],?.&*:@]+\s+)+[*&]?(?P<name>[^\W\d]\w*)\s*\([^;]*\)\s*(?:async\s*)?(?:\{|=>)\s*(?://.*)?$"
)
_OTHER_WORDS = """
    if for while switch return else catch match when until case do in is as with where not self
"""
_NO_NAMES = frozenset(_OTHER_WORDS.split())
_COMMENT = re.compile(r"\s*(?://|/\*|\*|#(?!\s*(?:include|define|if|else|endif))|--|;|%|\"\"\"|'''|\{-|-\}|@\w|\(\*)")
_CONTINUES = re.compile(
    r"\s*(?:[)\]}>{|]|where\b|end\b|else\b|elsif\b|rescue\b|catch\b|ensure\b|after\b|in\b|then\b|do\b|fi\b|done\b|esac\b)"
)
_CLOSES = re.compile(r"\s*(?:[)\]}]+[;,)]*|end\b[;,)]*|fi|done|esac)\s*(?:--.*|//.*|#.*)?$")
_BLANKS = re.compile(r"[ \t]*")

_HEADING = re.compile(r"(?P<level>#{1,6})\s+(?P<title>.*\S)|(?P<stars>\*{1,6}|={2,6})\s+(?P<other>.*\S)")
_UNDERLINE = re.compile(r"([=\-~^\"*+#])\1{2,}\s*$")


def plain_outline(lines: Sequence[str]) -> Outline:
    """Outline the lines of a text."""
    definitions = list(_definitions(lines))
    return Outline(definitions, lambda: _paragraph_lines(lines))


def _definitions(lines: Sequence[str]) -> Iterator[Definition]:
    inside_function = -1  # the last line of the function that is open
    for number, line in enumerate(lines):
        if number <= inside_function or len(line) > _LONGEST_HEAD:
            continue
        found = _head(line)
        if found is None:
            continue
        kind, name, indent = found
        if kind == "constant" and indent:
            continue
        end = _end(lines, number, indent, name if _SIGNED.match(line) else None)
        above = number
        while above and _COMMENT.match(lines[above - 1]):
            above -= 1
        yield Definition(kind, name, number, end, above)
        if kind == FUNCTION:
            inside_function = end


_LONGEST_HEAD = 300


def _head(line: str) -> tuple[str, str, int] | None:
    """Kind, name and indentation of what a line defines."""
    for pattern in (_BOUND, _HEAD, _TABLE, _SHELL, _SIGNED, _C_LIKE):
        match = pattern.match(line)
        if match is None:
            continue
        name = match["name"].strip("`")
        keyword = (match.groupdict().get("keyword") or "").lower()
        indent = len(match["indent"].expandtabs(4))
        if name.lower() in _NO_NAMES or (indent and keyword in _SOFT and not name[0].isupper()):
            continue
        kind = {"table": "struct", "view": "struct"}.get(keyword) or _KIND_OF.get(keyword, FUNCTION)
        return kind, name, indent
    return None


def _end(lines: Sequence[str], start: int, indent: int, equations_of: str | None) -> int:
    """The last line of what begins on a line."""
    end = start
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        blanks = _BLANKS.match(line)
        depth = len(blanks[0].expandtabs(4)) if blanks else 0
        is_equation = equations_of and re.match(rf"\s*{re.escape(equations_of)}\b", line)
        if depth > indent or (depth == indent and is_equation):
            end = number
        elif depth == indent and _CONTINUES.match(line):
            end = number
            if _CLOSES.match(line):
                break
        else:
            break
    return end


def _paragraph_lines(lines: Sequence[str]) -> set[int]:
    """Lines that are not indented and follow a blank one."""
    return {
        number
        for number, line in enumerate(lines)
        if line[:1].strip() and (number == 0 or not lines[number - 1].strip())
    }


def prose_outline(lines: Sequence[str]) -> Outline:
    """Outline the lines of a document by its headings."""
    heads: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if match := _HEADING.match(line):
            heads.append((number, match["title"] or match["other"]))
        elif (
            number
            and _UNDERLINE.match(line)
            and lines[number - 1].strip()
            and (number < 2 or not lines[number - 2].strip())
        ):
            heads.append((number - 1, lines[number - 1].strip()))
    ends = [start - 1 for start, _ in heads[1:]] + [len(lines) - 1]
    definitions = [
        Definition("section", title, start, max(start + 2, end) if start + 2 < len(lines) else end, start)
        for (start, title), end in zip(heads, ends, strict=True)
    ]
    return Outline(definitions, lambda: _paragraph_lines(lines))
