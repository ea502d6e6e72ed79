"""Source text as a syntax tree, under limits, with byte positions mapped back to characters.

Contract: positions in the tree are positions in the text that is tokenized; nothing is put in or taken out.
What the parser is handed differs from the text in single bytes only: a carriage return alone is a line feed, and what a
grammar cannot read is blank (`unreadable`). tree-sitter counts UTF-8 bytes, tokenizers count characters; `Source` maps.

Untrusted text cannot hang or crash a run: size, time and nesting are limited, and a text outside the limits raises
`Unparsable` with one of a closed set of reasons that callers count.

One defect of tree-sitter (0.26.1) stays: where a text ends in a syntax error, the parser copies every way through what
it has not yet understood, without limit and where nothing can stop it. That takes memory with the square of the length
where a deep nesting or a long chain can be read in several ways. What single tokens in a row can do is refused
(`Limits.ambiguous`); some senseless sequences of several tokens do it too, if they stand there a thousand times (0.5 GB
in Java for `a = % will`, 0.6 GB in C++ for `* a [ @ %`). So whoever parses many texts of strangers does it in worker
processes.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import metadata, resources
from types import FunctionType
from typing import Literal, NamedTuple, get_args

import numpy as np
import tree_sitter

from .languages import LANGUAGES, Grammar, Language, resolve_language

Reason = Literal["binary", "not_utf8", "too_large", "too_slow", "too_deep", "too_wide", "too_ambiguous", "syntax_error"]
REASONS: tuple[Reason, ...] = get_args(Reason)

# How much of the text the predicates of queries are handed, and copy, for every name that they look at.
_PIECE = 128

_LONE_RETURN = re.compile(r"\r(?!\n)")

# Below 0.26 a progress callback crashes the interpreter (tried with 0.25.2): there the size limit alone stands guard.
_CAN_STOP_A_PARSE = tuple(int(part) for part in metadata.version("tree-sitter").split(".")[:2]) >= (0, 26)


class Unparsable(ValueError):
    """A text that is not used as a tree.

    Attributes:
        reason: One of `REASONS`, for counting.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Limits:
    """What a text may cost.

    Attributes:
        bytes: Largest size in UTF-8.
        seconds: Longest processor time of one parse (held with tree-sitter 0.26 and later).
        depth: Deepest nesting of the tree. The query engine counts depth in 16 bits: deeper than 65,535 it loses nodes
            and may take minutes.
        width: Most children of one ERROR node. Its tokens stand side by side without structure, and the query engine's
            time grows with their square.
        ambiguous: Most asterisks in runs of what the language's row calls ambiguous: 20 MB at 200, 1.2 GB at 1,600.
    """

    bytes: int = 1_000_000
    seconds: float = 5.0
    depth: int = 10_000
    width: int = 5_000
    ambiguous: int = 200


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Source:
    """A parsed text.

    Attributes:
        text: The text as given.
        data: The text in UTF-8 (lone surrogates pass as three bytes each), a carriage return alone as a line feed.
        language: The row of the table.
        grammar: The grammar that was chosen.
        tree: The syntax tree over `data`.
    """

    text: str
    data: bytes
    language: Language
    grammar: Grammar
    tree: tree_sitter.Tree

    def characters(self, positions: Sequence[int]) -> list[int]:
        """Character positions of byte positions (0..len(data)) that stand at the start of a character."""
        if self.is_ascii:
            return list(positions)
        starts = (np.frombuffer(self.data, dtype=np.uint8) & 0xC0) != 0x80
        before = np.concatenate(([0], np.cumsum(starts)))
        return before[np.asarray(positions, dtype=np.int64)].tolist()

    def slice(self, start: int, end: int) -> str:
        """The text between two byte positions."""
        return self.data[start:end].decode("utf-8", "surrogatepass")

    def bare(self, name: str) -> str:
        """A name without its sigils."""
        return name.lstrip(self.language.sigils) if self.language.sigils else name

    def slices(self, spans: Iterable[tuple[int, int]]) -> list[str]:
        """The texts between pairs of byte positions."""
        if self.is_ascii:
            return [self.text[start:end] for start, end in spans]
        return [self.slice(start, end) for start, end in spans]

    @property
    def is_ascii(self) -> bool:
        """Whether positions in bytes and in characters are the same."""
        return len(self.data) == len(self.text)

    def unread(self) -> list[tuple[int, int]]:
        """Spans of the regions that the grammar could not read, outermost only; empty where it misses a token."""
        spans: list[tuple[int, int]] = []
        open_nodes = [self.tree.root_node] if self.tree.root_node.has_error else []
        while open_nodes:
            node = open_nodes.pop()
            if node.is_error or node.is_missing:
                spans.append(node.byte_range)
            elif node.has_error:
                open_nodes.extend(node.children)
        return spans

    def wrong_bytes(self) -> int:
        """How many bytes lie in nodes of syntax errors."""
        return sum(max(1, end - start) for start, end in self.unread())

    def matches(self, purpose: str) -> list[tuple[int, dict[str, list[tree_sitter.Node]]]]:
        """Matches of the language's query of that purpose ("identifiers", "functions") over the whole tree."""
        return tree_sitter.QueryCursor(_query(self.language, self.grammar, purpose)).matches(self.tree.root_node)

    def captures(self, purpose: str) -> dict[str, list[tree_sitter.Node]]:
        """Captures of the language's query of that purpose over the whole tree, by capture name, in no order."""
        return tree_sitter.QueryCursor(_query(self.language, self.grammar, purpose)).captures(self.tree.root_node)


def decode(data: bytes) -> str:
    """The text of a file.

    A byte order mark at the start is dropped here, so that neither the parser nor the tokenizer sees it.

    Raises:
        Unparsable: `binary` when there is a NUL byte, `not_utf8` when the bytes are not UTF-8. No other encoding is
            guessed: a wrong guess would put broken words into the corpus.
    """
    if b"\0" in data:
        raise Unparsable("binary", "there is a NUL byte: this is not a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unparsable("not_utf8", f"not UTF-8 at byte {error.start}: convert the file to UTF-8") from error


def parse(text: str, language: str, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Parse a text.

    A text with syntax errors is parsed as well: `identifiers_of` and `functions_of` decide what they make of it.

    Args:
        text: Source code, a whole file or a part.
        language: Name or alias of a language of the table.
        limits: What the text may cost.

    Raises:
        ValueError: The language is unknown.
        Unparsable: `binary`, `too_large`, `too_slow`, `too_deep`, `too_wide` or `too_ambiguous`.
    """
    row = LANGUAGES[resolve_language(language)]
    if "\0" in text:
        raise Unparsable("binary", "there is a NUL character: this is not source text")
    data = _with_line_feeds(text).encode("utf-8", "surrogatepass")
    if len(data) > limits.bytes:
        raise Unparsable("too_large", f"{len(data)} bytes, the limit is {limits.bytes}")
    runs = row.ambiguous.findall(text) if row.ambiguous and text.count("*") > limits.ambiguous else []
    if sum(run.count("*") for run in runs) > limits.ambiguous:
        raise Unparsable("too_ambiguous", f"more than {limits.ambiguous} starred operands in rows")
    candidates = [grammar for grammar in row.grammars if grammar.marker in text]
    parsed: list[Source] = []
    for grammar in candidates:
        readable = row.readable(data) if row.readable else data
        parsed.append(Source(text, data, row, grammar, _parse(readable, grammar, limits)))
        if not parsed[-1].tree.root_node.has_error:
            break
    if not parsed:
        raise ValueError(f"language {row.name}: no grammar of the table applies; the last one must have no marker")
    source = min(parsed, key=Source.wrong_bytes) if len(parsed) > 1 else parsed[0]
    if _is_deeper(source.tree.root_node, limits.depth):
        raise Unparsable("too_deep", f"nested deeper than {limits.depth} levels")
    if _has_wider_error(source.tree.root_node, limits.width):
        raise Unparsable("too_wide", f"more than {limits.width} tokens in a row make no sense")
    return source


def _with_line_feeds(text: str) -> str:
    """The text with a line feed for every carriage return that ends a line alone."""
    return _LONE_RETURN.sub("\n", text) if "\r" in text else text


def _parse(data: bytes, grammar: Grammar, limits: Limits) -> tree_sitter.Tree:
    parser = tree_sitter.Parser(_load(grammar))
    if not _CAN_STOP_A_PARSE:
        return parser.parse(data)
    # The clock of the thread is slow to read, and never ahead of the other one.
    earliest, deadline = time.monotonic() + limits.seconds, time.thread_time() + limits.seconds
    stopped = False
    reader = _Reader(data)

    def is_late(_offset: int, _has_error: bool) -> bool:
        nonlocal stopped
        stopped = time.monotonic() > earliest and time.thread_time() > deadline
        return stopped

    try:
        return parser.parse(reader, progress_callback=is_late)
    except ValueError as error:
        if stopped:
            raise Unparsable("too_slow", f"not parsed within {limits.seconds} s of processor time") from error
        raise
    finally:
        reader.end_parse()


class _Reader:
    """Hands out a text: whole to the parser, in short pieces to what asks later.

    py-tree-sitter 0.26 never frees an object that the parser is handed (0.2 kB for a view). What a view shows is freed
    once the view is released.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._views: list[memoryview] | None = []

    def __call__(self, offset: int, _point: object) -> bytes | memoryview:
        if self._views is None or offset >= len(self._data):
            return self._data[offset : offset + _PIECE]
        self._views.append(memoryview(self._data)[offset:])
        return self._views[-1]

    def end_parse(self) -> None:
        """Release what the parser was handed."""
        for view in self._views or ():
            view.release()
        self._views = None


@cache
def _load(grammar: Grammar) -> tree_sitter.Language:
    return tree_sitter.Language(getattr(importlib.import_module(grammar.module), grammar.function)())


@cache
def _query(language: Language, grammar: Grammar, purpose: str) -> tree_sitter.Query:
    return tree_sitter.Query(_load(grammar), _resource(language, [grammar], f"{purpose}.scm"))


class Builtins(NamedTuple):
    """Names that belong to a language.

    Attributes:
        plain: Names that stand alone, keywords among them.
        members: Names of members of its standard objects.
        keywords: Words that no file can define, for grammars that take them for names in what they do not understand.
    """

    plain: frozenset[str]
    members: frozenset[str]
    keywords: frozenset[str]


@cache
def builtins_of(language: Language) -> Builtins:
    """Names that belong to the language.

    `builtins.txt` has one name per line; a member's name is written with a full stop before it, a keyword with an
    exclamation mark; `#` begins a comment.
    """
    text = _resource(language, language.grammars, "builtins.txt")
    names = [name for line in text.splitlines() if (name := line.partition("#")[0].strip())]
    keywords = frozenset(name[1:] for name in names if name.startswith("!"))
    members = frozenset(name[1:] for name in names if name.startswith("."))
    return Builtins(keywords | {name for name in names if name[0] not in ".!"}, members, keywords)


def definition_of(language: str, names: Sequence[str] = ("identifiers.scm", "builtins.txt")) -> str:
    """All that decides what is found in a language besides our code: for digests of what was made with it.

    Args:
        language: Name or alias of a language of the table.
        names: Files of the language that matter; those of identifiers unless told.
    """
    row = LANGUAGES[resolve_language(language)]
    wheels = {"tree_sitter", *(grammar.module for grammar in row.grammars)}
    versions = [f"{wheel} {_version(wheel)}" for wheel in sorted(wheels)]
    files = [_resource(row, row.grammars, name) for name in names]
    settings = [f"{setting.name} {_spelled(getattr(row, setting.name))}" for setting in fields(row)]
    return "\n".join([*settings, *versions, *files])


_version = cache(metadata.version)
"""The version of an installed distribution; each look-up reads a file."""


def _spelled(value: object) -> str:
    """A value of the table in the same letters in every process: sets, long patterns and functions need care."""
    if isinstance(value, frozenset):
        return repr(sorted(value))
    if isinstance(value, FunctionType):
        return value.__qualname__
    return repr((value.pattern, value.flags) if isinstance(value, re.Pattern) else value)


def _resource(language: Language, grammars: Iterable[Grammar], name: str) -> str:
    """The file of that name in the folders of some grammars, joined."""
    folders = dict.fromkeys(folder for grammar in grammars for folder in grammar.queries or (language.name,))
    files = [resources.files(__package__) / "queries" / folder / name for folder in folders]
    if not any(file.is_file() for file in files):
        raise FileNotFoundError(f"language {language.name}: no {name} in queries/{', queries/'.join(folders)}")
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def _is_deeper(root: tree_sitter.Node, limit: int) -> bool:
    """Whether the tree is deeper than the limit.

    A subtree as deep as the limit has at least as many nodes, so only heavy subtrees are opened: none in most files.
    """
    open_nodes = [(root, 0)]
    while open_nodes:
        node, depth = open_nodes.pop()
        if depth > limit:
            return True
        if node.descendant_count > limit - depth:
            open_nodes.extend((child, depth + 1) for child in node.children)
    return False


def _has_wider_error(root: tree_sitter.Node, limit: int) -> bool:
    """Whether an ERROR node has more children than the limit."""
    open_nodes = [root] if root.has_error else []
    while open_nodes:
        node = open_nodes.pop()
        if node.is_error and node.child_count > limit:
            return True
        open_nodes.extend(child for child in node.children if child.has_error)
    return False
