"""What can be asked of the commands of this room."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..common.checks import require_range


@dataclass(frozen=True)
class SearchConfig:
    """Search a tree of source code with an encoder, BM25 and what names say together.

    Attributes:
        query: what to look for, in words or in code.
        path: folder of source code.
        model: folder or Hub id of the encoder; the released open-codesage-nano if none.
        index: folder where the index is kept; in the user's cache if none.
        limit: how many results to give.
        json: write one JSON object instead of lines.
        docs: search documents such as Markdown as well.
        skipped: list every file that was left out, with the reason, on standard error.
        dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if none.
        rebuild: make the index anew.
        num_proc: number of processes that parse; one per core if none.
    """

    query: str
    path: Path = Path()
    model: str | None = None
    index: Path | None = None
    limit: int = 10
    json: bool = False
    docs: bool = False
    skipped: bool = False
    dimension: int | None = None
    rebuild: bool = False
    num_proc: int | None = None

    positional: ClassVar[tuple[str, ...]] = ("query", "path")

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise ValueError("the query is empty: say in words what to look for")
        require_range(self, "limit", "dimension", "num_proc", at_least=1)
