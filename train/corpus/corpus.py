"""The corpus folder: what `open-codesage extract` writes and every later step reads.

Contract: `files/` and `functions/` hold Parquet parts with the columns of `FILE_COLUMNS` and `FUNCTION_COLUMNS`,
`report.json` the counts, `held_out.json` the units that training must not see. `Corpus` reads it as memory-mapped
`datasets.Dataset`s, `PartWriter` writes the parts in bounded memory.

Invariant: a row is in the split "held_out" if and only if its unit is named in `held_out.json`.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import datasets

Split = Literal["train", "held_out"]

_ORIGIN = {"language": pa.string(), "path": pa.string(), "licence": pa.string(), "unit": pa.string()}
FILE_COLUMNS: dict[str, pa.DataType] = {"text": pa.string(), **_ORIGIN}
FUNCTION_COLUMNS: dict[str, pa.DataType] = {
    "name": pa.string(),
    "summary": pa.string(),
    "documentation": pa.string(),
    "code": pa.string(),
    "hard_positive": pa.string(),
    "start_line": pa.int64(),
    "end_line": pa.int64(),
    **_ORIGIN,
}


class Corpus:
    """A corpus folder, opened for reading.

    Args:
        folder: a folder written by `open-codesage extract`.

    Raises:
        ValueError: the folder is missing, or is not a whole corpus.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"there is no corpus folder {self.folder}: write one with `open-codesage extract`")
        try:
            self.held_out_units = frozenset(json.loads((self.folder / "held_out.json").read_text("utf-8"))["units"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.folder} is not a corpus folder (held_out.json: {_reason(error)}): "
                "write one with `open-codesage extract`"
            ) from error

    def files(self, split: Split, languages: Iterable[str] | None = None) -> "datasets.Dataset":
        """The source files of a split, one row a file, columns of `FILE_COLUMNS`.

        Args:
            split: "train" or "held_out".
            languages: take files of these languages only; all if None.

        Raises:
            ValueError: no such split, no such language in the corpus, or its files are damaged.
        """
        return self._rows("files", split, languages)

    def functions(self, split: Split, languages: Iterable[str] | None = None) -> "datasets.Dataset":
        """The documented functions of a split, one row a function, columns of `FUNCTION_COLUMNS`.

        Args:
            split: "train" or "held_out".
            languages: take functions of these languages only; all if None.

        Raises:
            ValueError: no such split, no such language in the corpus, or its files are damaged.
        """
        return self._rows("functions", split, languages)

    def _rows(self, kind: str, split: Split, languages: Iterable[str] | None) -> "datasets.Dataset":
        if split not in ("train", "held_out"):
            raise ValueError(f"there is no split {split!r}: choose 'train' or 'held_out'")
        rows = self._files if kind == "files" else self._functions
        table = rows.data
        chosen = pc.is_in(table.column("unit"), value_set=pa.array(sorted(self.held_out_units), pa.string()))
        if split == "train":
            chosen = pc.invert(chosen)
        if languages is not None:
            wanted = sorted(set(languages))
            present = pc.unique(table.column("language")).to_pylist()
            if absent := set(wanted) - set(present):
                raise ValueError(
                    f"the {kind} of {self.folder} have no {', '.join(sorted(absent))}: "
                    f"choose among {', '.join(sorted(present))}"
                )
            chosen = pc.and_(chosen, pc.is_in(table.column("language"), value_set=pa.array(wanted, pa.string())))
        return rows.select(pc.indices_nonzero(chosen.combine_chunks()).to_numpy().astype("int64"))

    @cached_property
    def _files(self) -> "datasets.Dataset":
        return self._read("files", FILE_COLUMNS)

    @cached_property
    def _functions(self) -> "datasets.Dataset":
        return self._read("functions", FUNCTION_COLUMNS)

    def _read(self, kind: str, columns: dict[str, pa.DataType]) -> "datasets.Dataset":
        import datasets  # slow, and not needed to write a corpus

        parts = sorted((self.folder / kind).glob("part-*.parquet"))
        if not parts:
            raise ValueError(f"{self.folder / kind} has no part-*.parquet: write the corpus again")
        for part in parts:
            try:
                schema = pq.read_schema(part)
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{part} is damaged ({_reason(error)}): write the corpus again") from error
            if missing := [name for name in columns if name not in schema.names]:
                raise ValueError(f"{part} has no column {', '.join(missing)}: write the corpus again")
        try:
            return datasets.Dataset.from_parquet([str(part) for part in parts])
        except (datasets.exceptions.DatasetGenerationError, pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.folder / kind} is damaged ({_reason(error)}): write the corpus again") from error


def _reason(error: BaseException) -> str:
    root = error.__cause__ or error
    return f"{type(root).__name__}: {root}".splitlines()[0]


class PartWriter:
    """Write rows to `part-00000.parquet`, `part-00001.parquet` … of a new folder; a context manager.

    Args:
        folder: where the parts are written; made if missing.
        columns: names and Arrow types.
        group_characters: rows are written out when their texts hold this many characters.
        part_characters: a new part is begun when the texts of this one hold as many characters.
    """

    def __init__(
        self,
        folder: Path,
        columns: dict[str, pa.DataType],
        group_characters: int = 1 << 24,
        part_characters: int = 1 << 28,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.schema = folder, pa.schema(columns)
        self.group_characters, self.part_characters = group_characters, part_characters
        self.rows = 0
        self._buffer: list[dict[str, Any]] = []
        self._buffered = self._in_part = self._parts = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: dict[str, Any]) -> None:
        """Add one row; its keys are the columns."""
        self._buffer.append(row)
        self.rows += 1
        self._buffered += sum(len(value) for value in row.values() if isinstance(value, str))
        if self._buffered >= self.group_characters:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.folder / f"part-{self._parts:05d}.parquet", self.schema, compression="zstd"
            )
            self._parts += 1
        self._writer.write_table(pa.Table.from_pylist(self._buffer, self.schema))
        self._in_part += self._buffered
        self._buffer, self._buffered = [], 0
        if self._in_part >= self.part_characters:
            self._end_part()

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._in_part = None, 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and (self._buffer or not self.rows):
            self._flush()
        self._end_part()


def read_parts(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the rows back in the order in which `PartWriter` wrote them, in bounded memory."""
    for part in sorted(folder.glob("part-*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(batch_size=256):
            yield from batch.to_pylist()
