"""From a file of a tree to its units, in a worker process.

Contract: `read_units` runs on files that may be hostile, and always answers: with units or with the reason for which
there are none. `chunker()` names the rules by which files are cut, so that an index made by others is distinguished
from one made by these.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.tokenization.source import Unparsable, decode, definition_of

from ..retrieval.signature import signature
from .cutting import Unit, cut
from .files import TreeFile, content_digest, read_bytes
from .generated import is_generated
from .languages import PROSE
from .plain_outline import plain_outline, prose_outline
from .words import Keys, word_keys, words_of

_DIGEST_BYTES = 8
_LONGEST_SIGNATURE = 200

# What decides which units a file gives, and their words, in packages below `open_codesage`.
SOURCES = {
    "tokenization": (
        *("comments", "conventions", "definitions", "documentation", "excerpts", "functions", "languages", "marks"),
        *("nesting", "source", "unreadable"),
    ),
    "train.corpus": ("rules",),
    "train.retrieval": ("signature", "split_words"),
    "train.search": ("cutting", "generated", "grammar_outline", "plain_outline", "reading", "words"),
}


@dataclass(frozen=True)
class ReadUnit:
    """A unit, as it is written into an index.

    Attributes:
        unit: the unit.
        signature: on one line.
        text: what the encoder sees.
        digest: of that text.
        keys: of its words.
    """

    unit: Unit
    signature: str
    text: str
    digest: bytes
    keys: Keys


@dataclass(frozen=True)
class ReadFile:
    """What is indexed of a content.

    Attributes:
        file: a file with it, and the digest of what was read.
        units: its units in order.
        skipped: why there are none, None if it was cut.
    """

    file: TreeFile
    units: list[ReadUnit] = field(default_factory=list)
    skipped: str | None = None


def read_units(item: tuple[str, TreeFile]) -> ReadFile:
    """Read and cut a file.

    Args:
        item: the root of the tree, and the file.
    """
    root, file = item
    try:
        content = read_bytes(Path(root, file.path))
    except OSError:
        return ReadFile(TreeFile(file.path, file.language, b""), skipped="unreadable")  # to be tried again
    if (digest := content_digest(content)) != file.digest:
        file = TreeFile(file.path, file.language, digest)  # changed since it was surveyed
    try:
        text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
        if is_generated(text):
            return ReadFile(file, skipped="generated")
        units = _cut(text, file.language)
    except Unparsable as error:
        return ReadFile(file, skipped=error.reason)
    return ReadFile(file, [_read(unit) for unit in units], None if units else "nothing_to_find")


@cache
def chunker() -> str:
    """A digest of the code, the queries and the grammars that cut files."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for package, modules in SOURCES.items():
        for module in modules:
            source = resources.files(f"open_codesage.{package}").joinpath(f"{module}.py")
            digest.update(source.read_bytes())
    for language in LANGUAGES:
        digest.update(definition_of(language, ["functions.scm", "definitions.scm"]).encode())
    return digest.hexdigest()


def _cut(text: str, language: str) -> list[Unit]:
    lines = text.split("\n")
    if language == PROSE:
        return cut(lines, prose_outline(lines))
    if language in LANGUAGES:
        from .grammar_outline import grammar_outline  # only workers need what it opens

        with contextlib.suppress(Unparsable):  # what the parser refuses is still text
            return cut(lines, grammar_outline(text, language))
    return cut(lines, plain_outline(lines))


def _read(unit: Unit) -> ReadUnit:
    named = " ".join((*unit.scope, *unit.names[:3]))
    text = "\n".join(filter(None, (named, unit.documentation, unit.code)))
    words = words_of(f"{' '.join(unit.scope)}\n{unit.documentation}\n{unit.code}")
    line = signature(unit.code)[:_LONGEST_SIGNATURE]
    digest = content_digest(text.encode("utf-8", "surrogatepass"))
    return ReadUnit(unit, line, text, digest, word_keys(words))
