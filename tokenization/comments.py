"""Which comments document which function: one rule for all languages, read off the syntax tree.

The language's row says what a documentation comment looks like. It belongs to the function

* right below it; between them may stand annotations, and comments that are no documentation;
* in whose header it stands, anywhere from the first token to the body: behind an annotation, an attribute, a modifier,
  the parameters of a template or of the function. Not inside brackets that open there: that is documentation of a
  parameter.

Where every comment may be documentation (C, Go, Ruby), one that stands behind code in its line speaks of that code,
unless the function's name follows in that line: `static /* Does it. */ int f(void)`. Old C has one behind each
parameter, the last one too.

A comment that is documentation by its form (`/** … */`, not `# …`) is taken out of the code wherever it stands,
whatever it documents: a parameter, a class in a function, a method that is not extracted.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import tree_sitter

from .definitions import Definition, Definitions
from .excerpts import Span
from .source import Source

_BLANK = re.compile(rb"(?:\s|\xef\xbb\xbf)*")  # a byte order mark, too
_BLANKS_BEFORE_CODE = re.compile(rb"[ \t]+(?=[^\s])")
_OPENING = b"([{<"


def attach_comments(source: Source, found: Definitions) -> None:
    """Give each function its documentation, and note all documentation of the text in `found.documentation`."""
    pattern = source.language.documentation
    if pattern is None:
        return
    attachment = _Attachment(source, found)
    for function in found.functions:
        above = attachment.above(function)
        function.documentation += dict.fromkeys([*above, *attachment.inside(function)])
        found.documentation += [_with_blanks(source.data, span) for span in function.documentation]
    if marked := source.language.marked:
        documentation = (span for span in found.comments if marked.match(source.data, *span))
        found.documentation += [_with_blanks(source.data, span) for span in documentation]


class _Attachment:
    def __init__(self, source: Source, found: Definitions) -> None:
        self._source = source
        self._data = source.data
        self._annotations = found.annotations
        self._blocks = _comment_blocks(source, found.comments)
        self._starts = [start for start, _ in self._blocks]
        self._by_end = {end: start for start, end in self._blocks}
        self._ends = sorted({*self._by_end, *found.annotations})
        self._annotation_spans = {node.byte_range for node, _ in found.annotations.values()}

    def above(self, function: Definition) -> list[Span]:
        """The documentation right above a function and above its overloads; annotations become part of the function."""
        documentation: list[Span] = []
        position = function.span[0]
        documented = False
        while (nearest := bisect_right(self._ends, position) - 1) >= 0:
            end = self._ends[nearest]
            lines = _lines_between(self._data, end, position)
            if lines is None:
                break
            if end in self._annotations:
                node, names = self._annotations[end]
                if names and function.name not in names:
                    break
                function.take_in(node)
                position = node.start_byte
                documented = False
                continue
            block = self._by_end[end], end
            if documented:
                break
            if documented := self._is_documentation(block, lines):
                documentation.append(block)
            elif lines > 1:
                break
            position = block[0]
        return documentation

    def _is_documentation(self, block: Span, lines: int) -> bool:
        """Whether a comment block that many lines above a function documents it."""
        if not self._looks_like_documentation(block):
            return False
        if not _starts_line(self._data, block[0]) and not self._follows_annotation(block[0]):
            return False
        distant = self._source.language.distant_documentation
        return lines <= 1 or (lines == 2 and distant is not None and bool(distant.search(self._source.slice(*block))))

    def _looks_like_documentation(self, block: Span) -> bool:
        pattern = self._source.language.documentation
        return pattern is not None and bool(pattern.match(self._source.slice(*block)))

    def _follows_annotation(self, position: int) -> bool:
        nearest = bisect_right(self._ends, position) - 1
        return (
            nearest >= 0
            and self._ends[nearest] in self._annotations
            and _lines_between(self._data, self._ends[nearest], position) is not None
        )

    def inside(self, function: Definition) -> list[Span]:
        """The documentation in a function's header."""
        # Without braces, what stands behind the name may belong to the body as well.
        end = function.body[0] if self._source.language.braces else function.name_end
        first, last = bisect_left(self._starts, function.span[0]), bisect_left(self._starts, end)
        return [block for block in self._blocks[first:last] if self._is_of_header(block, function)]

    def _is_of_header(self, block: Span, function: Definition) -> bool:
        if not self._looks_like_documentation(block) or self._trails(block, function):
            return False
        node = self._source.tree.root_node.descendant_for_byte_range(block[0], block[0] + 1)
        if node is None or _stands_among_declarations(node, self._data):
            return False
        return not any(
            self._data[around.start_byte] in _OPENING or around.byte_range in self._annotation_spans
            for around in _up_to(node.parent, function.body)
        )

    def _trails(self, block: Span, function: Definition) -> bool:
        """Whether a comment stands behind code in its line, and is no documentation by its form."""
        marked = self._source.language.marked
        if (marked and marked.match(self._data, *block)) or _starts_line(self._data, block[0]):
            return False
        return block[0] > function.name_end or _ends_line(self._data, block[1])


def _up_to(node: tree_sitter.Node | None, inner: Span) -> Iterator[tree_sitter.Node]:
    """A node and those around it, up to the first that holds a span."""
    while node is not None and not (node.start_byte <= inner[0] and inner[1] <= node.end_byte):
        yield node
        node = node.parent


def _stands_among_declarations(comment: tree_sitter.Node, data: bytes) -> bool:
    """Whether a comment stands beside a declaration: those of parameters in old C, between their list and the body."""
    before, behind = comment.prev_named_sibling, comment.next_named_sibling
    while before is not None and before.is_extra:
        before = before.prev_named_sibling
    while behind is not None and behind.is_extra:
        behind = behind.next_named_sibling
    return any(node is not None and data[node.end_byte - 1 : node.end_byte] == b";" for node in (before, behind))


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


def _with_blanks(data: bytes, comment: Span) -> Span:
    """A comment with the blanks behind it, unless they are all that parts its neighbors."""
    start, end = comment
    blanks = _BLANKS_BEFORE_CODE.match(data, end)
    return (start, blanks.end()) if blanks and not data[start - 1 : start].strip(b" \t\n([") else comment


def _starts_line(data: bytes, position: int) -> bool:
    return _lines_between(data, data.rfind(b"\n", 0, position) + 1, position) == 0


def _ends_line(data: bytes, position: int) -> bool:
    line_end = data.find(b"\n", position)
    return not data[position : line_end if line_end >= 0 else len(data)].strip()


def _lines_between(data: bytes, start: int, end: int) -> int | None:
    """How many lines on the end is from the start, None if anything but blanks is between them."""
    blank = _BLANK.match(data, start, end)
    return data.count(b"\n", start, end) if blank and blank.end() == end else None
