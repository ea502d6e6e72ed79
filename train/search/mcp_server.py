"""The command `mcp`: the search of source trees for agents, by the Model Context Protocol over standard streams.

Contract: three tools, `search_code`, `find_related` and `index_status`. Each brings the index up to date before it
answers. Answers are text of at most about `_CHARACTERS` characters, so they fit beside what else an agent has in mind.
Paths outside the folders that the server was started with are refused.

Invariant: nothing but the protocol is written to standard output; what is indexed is told on standard error.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..common.console import printable
from .answers import lines_of
from .configs import McpConfig
from .filters import Filters
from .index import Hit, Index, Update

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

_CHARACTERS = 8_000
_LINES = 15
"""Of code with each result."""
_EXAMPLES = 10
_MOST_RESULTS = 50
_INSTRUCTIONS = (
    "Finds code in the source trees of this project by what it does. Ask search_code in plain words or with the name "
    "of a symbol before you list or grep files; each result has its path, lines and code. find_related finds code like "
    "that at a place. index_status tells what is indexed, and what was left out and why."
)


def main(config: McpConfig) -> None:
    """Serve until standard input ends.

    Raises:
        ValueError: the SDK is not installed, or a tree or the model cannot be opened.
    """
    make_server(config).run("stdio")


def make_server(config: McpConfig) -> "MCPServer":
    """Make the server, with an open index.

    Raises:
        ValueError: the SDK is not installed, or a tree or the model cannot be opened.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise ValueError('the MCP SDK is not installed: pip install "open-codesage[mcp]"') from error
    from pydantic import Field

    searcher = _Searcher(config)
    server = MCPServer("open-codesage", instructions=_INSTRUCTIONS)
    limit = Annotated[int, Field(ge=1, le=_MOST_RESULTS, description="How many results to give.")]
    folder = Annotated[str, Field(description="Search only below this folder; everything if empty.")]

    @contextlib.contextmanager
    def told() -> Iterator[None]:
        """Tell the agent what it can mend; the SDK says nothing of other errors but that there was one."""
        try:
            yield
        except ValueError as error:
            raise ToolError(str(error)) from error

    # Coroutines, so that all of them run in the thread that opened the database.
    @server.tool()
    async def search_code(
        query: Annotated[str, Field(description="What the code does, in plain words, or the name of a symbol.")],
        limit: limit = 8,  # type: ignore[valid-type]
        path: folder = "",  # type: ignore[valid-type]
        languages: Annotated[list[str] | None, Field(description="Only these languages, such as python.")] = None,
        globs: Annotated[list[str] | None, Field(description="Only paths like these; ! in front excludes.")] = None,
    ) -> str:
        """Find code by what it does or what it is called; gives path, lines and code, best first."""
        with told():
            index, inside = searcher.refreshed(path)
            filters = Filters(tuple(languages or ()), (*(globs or ()), *inside))
            return _answer(index.search(query, limit, filters))

    @server.tool()
    async def find_related(
        file: Annotated[str, Field(description="A file of the trees.")],
        line: Annotated[int, Field(ge=1, description="A line in it.")],
        limit: limit = 8,  # type: ignore[valid-type]
    ) -> str:
        """Find code that is like the code at a line of a file."""
        with told():
            searcher.require_inside(file)
            index, _ = searcher.refreshed("")
            return _answer(index.related(searcher.located(file), line, limit))

    @server.tool()
    async def index_status() -> str:
        """Tell what is indexed, and what was left out and why."""
        with told():
            searcher.refreshed("")
        return _status(searcher.roots, searcher.last_update)

    return server


class _Searcher:
    """The index of all roots, and what may be asked of it."""

    def __init__(self, config: McpConfig) -> None:
        self.roots = [path.resolve() for path in config.path or (Path(),)]
        self._index = Index.open(
            self.roots, config.model, folder=config.index, docs=config.docs, workers=config.num_proc
        )
        self.last_update = Update()

    def refreshed(self, path: str) -> tuple[Index, tuple[str, ...]]:
        """The index, brought up to date, and the globs that keep to a folder."""
        inside: tuple[str, ...] = ()
        if path:
            place = self.require_inside(path)
            root = next(root for root in self.roots if place == root or root in place.parents)
            relative = place.relative_to(root).as_posix()
            if relative != ".":
                escaped = "".join(f"\\{character}" if character in "*?[]\\!# " else character for character in relative)
                inside = ("!*", f"/{escaped}", f"/{escaped}/**")
        self.last_update = self._index.update()
        return self._index, inside

    def located(self, path: str) -> Path:
        """A path as it was given; below the first root that has it, if it is relative."""
        return next((root / path for root in self.roots if (root / path).exists()), Path(path))

    def require_inside(self, path: str) -> Path:
        """The place of a path, without links.

        Raises:
            ValueError: it is outside the roots.
        """
        place = self.located(path).resolve()
        if not any(place == root or root in place.parents for root in self.roots):
            raise ValueError(f"{path} is outside of what this server may search: {', '.join(map(str, self.roots))}")
        return place


def _answer(hits: list[Hit]) -> str:
    """Hits with their code, as far as they fit."""
    if not hits:
        return "Nothing was found."
    parts: list[str] = []
    room = _CHARACTERS
    for number, hit in enumerate(hits):
        head = printable(f"{Path(hit.tree, hit.path)}:{hit.line}-{hit.end_line}: {hit.kind} {hit.name}".rstrip())
        code = "\n".join(printable(line.expandtabs(4)) for line in lines_of(hit, _LINES))
        part = f"{head}\n{code}\n"
        if len(part) > room:
            left = [printable(f"{Path(each.tree, each.path)}:{each.line}") for each in hits[number:]]
            parts.append("Further results, without code: " + ", ".join(left))
            break
        parts.append(part)
        room -= len(part)
    return "\n".join(parts)


def _status(roots: list[Path], update: Update) -> str:
    lines = [f"{update.units:,} units in {update.files:,} files of {', '.join(map(str, roots))}"]
    for reason, paths in sorted(update.skipped.items(), key=lambda each: -len(each[1])):
        shown = ", ".join(map(printable, paths[:_EXAMPLES])) + (", …" if len(paths) > _EXAMPLES else "")
        lines.append(f"{len(paths):,} left out as {reason}: {shown}")
    return "\n".join(lines)[:_CHARACTERS]
