"""What can be asked of the commands of this room."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..common.checks import require_range


@dataclass(frozen=True)
class SearchConfig:
    """Search trees of source code with an encoder, BM25 and what names say together.

    Attributes:
        query: what to look for, in words or in code.
        path: folders of source code; the current one if none.
        model: folder or Hub id of the encoder; the released open-codesage-nano if none.
        index: folder where the index is kept; in the user's cache if none.
        limit: how many results to give.
        context: show so many lines of code with each result.
        json: write one JSON object instead of lines.
        queries: file of JSON lines with id and query, - for standard input, in place of one query.
        jsonl: write one JSON object a line for each query.
        related: PATH:LINE, find what is like the code there, in place of a query.
        language: search files of these languages only.
        glob: search files whose path matches, as in a .gitignore; behind an exclamation mark, files that do not.
        kind: give results of these kinds only, such as function or class.
        docs: search documents such as Markdown as well.
        skipped: list every file that was left out, with the reason, on standard error.
        dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if none.
        rebuild: make the index anew.
        num_proc: number of processes that parse; one per core if none.
    """

    query: str = ""
    path: tuple[Path, ...] = ()
    model: str | None = None
    index: Path | None = None
    limit: int = 10
    context: int = 0
    json: bool = False
    queries: str | None = None
    jsonl: bool = False
    related: str | None = None
    language: tuple[str, ...] = ()
    glob: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    docs: bool = False
    skipped: bool = False
    dimension: int | None = None
    rebuild: bool = False
    num_proc: int | None = None

    positional: ClassVar[tuple[str, ...]] = ("query", "path")

    def __post_init__(self) -> None:
        if self.queries is not None and self.related is not None:
            raise ValueError("--queries and --related are two ways to ask: give one")
        if (self.queries is not None or self.related is not None) and self.query:
            object.__setattr__(self, "path", (Path(self.query), *self.path))  # nothing but folders is given by place
            object.__setattr__(self, "query", "")
        if self.queries is None and self.related is None:
            require_query(self.query)
        if self.json and self.jsonl:
            raise ValueError("--json writes one object, --jsonl one a line: give one")
        if self.queries is not None and self.json:
            raise ValueError("--json writes one object: give --jsonl with --queries")
        require_range(self, "limit", "dimension", "num_proc", at_least=1)
        require_range(self, "context", at_least=0)


@dataclass(frozen=True)
class IndexConfig:
    """Make the index of trees of source code, or bring it up to date, for `search` and `mcp` to find.

    Attributes:
        path: folders of source code; the current one if none.
        model: folder or Hub id of the encoder; the released open-codesage-nano if none.
        index: folder where the index is kept; in the user's cache if none.
        status: only tell what is indexed and what was skipped, and change nothing.
        clear: delete the index.
        docs: index documents such as Markdown as well.
        skipped: list every file that was left out, with the reason, on standard error.
        dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if none.
        rebuild: make the index anew.
        num_proc: number of processes that parse; one per core if none.
    """

    path: tuple[Path, ...] = ()
    model: str | None = None
    index: Path | None = None
    status: bool = False
    clear: bool = False
    docs: bool = False
    skipped: bool = False
    dimension: int | None = None
    rebuild: bool = False
    num_proc: int | None = None

    positional: ClassVar[tuple[str, ...]] = ("path",)

    def __post_init__(self) -> None:
        if self.status + self.clear + self.rebuild > 1:
            raise ValueError("--status, --clear and --rebuild are different things to do: give one")
        require_range(self, "dimension", "num_proc", at_least=1)


@dataclass(frozen=True)
class McpConfig:
    """Serve the search of trees of source code to agents, by the Model Context Protocol over standard input and output.

    Attributes:
        path: folders of source code that may be searched; the current one if none.
        model: folder or Hub id of the encoder; the released open-codesage-nano if none.
        index: folder where the index is kept; in the user's cache if none.
        docs: search documents such as Markdown as well.
        num_proc: number of processes that parse; one per core if none.
    """

    path: tuple[Path, ...] = ()
    model: str | None = None
    index: Path | None = None
    docs: bool = False
    num_proc: int | None = None

    positional: ClassVar[tuple[str, ...]] = ("path",)

    def __post_init__(self) -> None:
        require_range(self, "num_proc", at_least=1)


def require_query(query: str) -> None:
    """Refuse a query that asks nothing.

    Raises:
        ValueError: it is empty, or was not given in UTF-8.
    """
    if not query.strip():
        raise ValueError("the query is empty: say in words what to look for")
    try:
        query.encode()
    except UnicodeEncodeError:
        raise ValueError("the query is not UTF-8: type it on a terminal that is set to UTF-8") from None
