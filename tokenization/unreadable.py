"""What a grammar cannot read although compilers do: the parser is handed blanks in its place.

Contract: each function gives bytes of the same length with line feeds in the same places, so positions in the tree stay
positions in the text; in linear time. What is blank has no identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# int * __attribute__((used)) f(void): behind a star the grammar takes the attribute for the function's name.
_ATTRIBUTE = re.compile(
    rb"__(?:attribute(?:__)?[ \t\n]*\(\((?:[^()]|\([^()]*+\))*+\)\)"
    rb"|declspec[ \t]*\((?:[^()]|\([^()]*+\))*+\)|(?:cdecl|stdcall|fastcall|thiscall|vectorcall|restrict)\b)"
)
_STAR = re.compile(rb"[*&][ \t\n]*\Z")


def blank_attributes(data: bytes) -> bytes:
    """C and C++: attributes and calling conventions between a star and a name."""
    if b"__" not in data:
        return data
    parts: list[bytes] = []
    position = 0
    for match in _ATTRIBUTE.finditer(data):
        before = data[max(position, match.start() - 64) : match.start()]
        if _STAR.search(before) or (parts and not before.strip()):
            parts += data[position : match.start()], _blank(match[0])
            position = match.end()
    return b"".join([*parts, data[position:]])


_HEREDOC = re.compile(rb"<<(?:[~-](?P<quote>[\"'`]?)(?P<name>[A-Za-z_]\w*)(?P=quote)|(?P<plain>[A-Z_]\w*))")
_IN_HEREDOC = re.compile(rb"#\{|[{}]|" + _HEREDOC.pattern)


def blank_nested_heredocs(data: bytes) -> bytes:
    """Ruby: what is interpolated into a here-document and holds another one."""
    if data.count(b"<<") < 2 or b"#{" not in data:
        return data
    return _Heredocs().read(data)


class _Heredocs:
    """Reads a Ruby text line by line and blanks the interpolations in which a here-document begins."""

    def __init__(self) -> None:
        self.ends: list[bytes] = []  # of the here-documents that are open, first to end first
        self.nested: list[bytes] = []  # the same of those in an interpolation
        self.braces = 0  # that are open in an interpolation, itself included
        self.begin = 0  # of the interpolation
        self.is_blank = False  # whether a here-document was in it

    def read(self, data: bytes) -> bytes:
        spans: list[tuple[int, int]] = []
        position = 0
        for line in data.splitlines(keepends=True):
            word = line.strip()
            if self.nested:
                if word == self.nested[0]:
                    del self.nested[0]
            elif self.ends and not self.braces and word == self.ends[0]:
                del self.ends[0]
            elif self.ends:
                spans += self._body(line, position)
            else:
                self.ends = _begun(_HEREDOC.finditer(line))
            position += len(line)
        parts: list[bytes] = []
        end = 0
        for first, last in spans:
            parts += data[end:first], _blank(data[first:last])
            end = last
        return b"".join([*parts, data[end:]])

    def _body(self, line: bytes, position: int) -> list[tuple[int, int]]:
        spans = []
        for token in _IN_HEREDOC.finditer(line):
            if token[0] == b"#{" and not self.braces:
                self.braces, self.begin, self.is_blank = 1, position + token.end(), False
            elif self.braces and token[0] in (b"{", b"#{"):
                self.braces += 1
            elif self.braces and token[0] == b"}":
                self.braces -= 1
                if not self.braces and self.is_blank:
                    spans.append((self.begin, position + token.start()))
            elif self.braces and token[0].startswith(b"<<"):
                self.nested += _begun([token])
                self.is_blank = True
        return spans


def _begun(matches: Iterable[re.Match[bytes]]) -> list[bytes]:
    return [match["name"] or match["plain"] for match in matches]


def _blank(text: bytes) -> bytes:
    return re.sub(rb"[^\n]", b" ", text)
