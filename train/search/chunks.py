"""From a source file to what is indexed of it: all its functions, documented or not.

Contract: `read_functions` runs in worker processes, on files that may be hostile, and always answers: with functions or
with the reason for which there are none. `chunker()` names the rules by which texts are cut, so that an index made by
others is told from one made by these.

What the encoder sees of a function is its code without documentation, as in training; BM25 sees both.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from open_codesage.tokenization.functions import extract_functions
from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.tokenization.source import Unparsable, decode, definition_of

from ..corpus.rules import reject_text
from ..retrieval.signature import signature
from .files import TreeFile, content_digest, read_bytes

_DIGEST_BYTES = 8
_LONGEST_SIGNATURE = 200

# What decides which texts are indexed for a file, and their lines, in packages below `open_codesage`.
SOURCES = {
    "tokenization": (
        "comments",
        "conventions",
        "definitions",
        "documentation",
        "excerpts",
        "functions",
        "languages",
        "marks",
        "nesting",
        "source",
        "unreadable",
    ),
    "train.evaluation": ("bm25", "signature"),
    "train.search": ("chunks",),
}


@dataclass(frozen=True)
class IndexedFunction:
    """A function of a file.

    Attributes:
        name: its name.
        signature: on one line, printable.
        code: the function without its documentation.
        documentation: the documentation, empty if it has none.
        start_line: its first line, from 1.
        end_line: its last line, inclusive.
        digest: of the code.
    """

    name: str
    signature: str
    code: str
    documentation: str
    start_line: int
    end_line: int
    digest: bytes


@dataclass(frozen=True)
class FileFunctions:
    """What is indexed of a file.

    Attributes:
        file: the file, with the digest of the content that was read.
        functions: its functions in order.
        skipped: why there are none, None if the file was parsed.
    """

    file: TreeFile
    functions: list[IndexedFunction] = field(default_factory=list)
    skipped: str | None = None


def read_functions(item: tuple[str, TreeFile]) -> FileFunctions:
    """Read and parse a file.

    Args:
        item: the root of the tree, and the file.
    """
    root, file = item
    try:
        content = read_bytes(Path(root, file.path))
    except OSError:
        return FileFunctions(TreeFile(file.path, file.language, b""), skipped="unreadable")  # to be tried again
    file = TreeFile(file.path, file.language, content_digest(content))
    try:
        text = decode(content)
        if reason := reject_text(text):
            return FileFunctions(file, skipped=reason)
        functions = extract_functions(text, file.language, documented_only=False)
    except Unparsable as error:
        return FileFunctions(file, skipped=error.reason)
    indexed = [
        IndexedFunction(
            function.name,
            printable(signature(function.code))[:_LONGEST_SIGNATURE],
            function.code,
            function.documentation,
            function.start_line,
            function.end_line,
            content_digest(function.code.encode("utf-8", "surrogatepass")),
        )
        for function in functions
    ]
    return FileFunctions(file, indexed)


def printable(text: str) -> str:
    """The text without characters that would move the cursor of a terminal, or do worse."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


@cache
def chunker() -> str:
    """A digest of the code, the queries and the grammars that cut texts."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for package, modules in SOURCES.items():
        for module in modules:
            source = resources.files(f"open_codesage.{package}").joinpath(f"{module}.py")
            digest.update(source.read_bytes())
    for language in LANGUAGES:
        digest.update(definition_of(language, ["functions.scm"]).encode())
    return digest.hexdigest()
