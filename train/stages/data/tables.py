"""Rows of a user's own: tables in files, datasets of the Hub, and corpora of `extract`.

Contract: `read_rows` gives the wanted columns of a csv, json lines or Parquet file (also compressed with gzip), of a
dataset id of the Hub, or of the documented functions of a corpus; `hold_out` sets rows aside. What cannot be used is
refused with its place; nothing is skipped.

Invariant: equal texts are never parted by `hold_out`, nor are the rows of one group. The held-out part of a corpus is
never read.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetGenerationError

from ...corpus.corpus import Corpus
from ...corpus.split import choose_held_out

READERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def is_corpus(source: str) -> bool:
    """Say whether a source is a folder that `extract` has written."""
    return (Path(source) / "held_out.json").is_file()


def read_rows(source: str, split: str, texts: Sequence[str], others: Sequence[str] = ()) -> Dataset:
    """Read columns of a table.

    Args:
        source: file, corpus folder, or dataset id of the Hub; the id may name a split, as in `user/name:validation`.
        split: the split of a dataset id that names none.
        texts: columns that hold a text in every row.
        others: columns of which every row holds a value.

    Returns:
        These columns, in this order.

    Raises:
        ValueError: the source cannot be read or is empty, a column is missing, or a row lacks a value.
    """
    rows = _read(source, split)
    columns = [*texts, *others]
    if missing := [column for column in columns if column not in rows.column_names]:
        raise ValueError(
            f"{source} has no column {', '.join(missing)}: name the right ones of {', '.join(rows.column_names)}"
        )
    if not len(rows):
        raise ValueError(f"{source} holds no rows")
    rows = rows.select_columns(list(dict.fromkeys(columns)))
    for column in columns:
        _require_values(rows, column, source, text=column in texts)
    return rows


def hold_out(rows: Dataset, share: float, group: str, seed: int) -> tuple[Dataset, Dataset]:
    """Set rows aside, all of a group or none.

    Args:
        rows: a table.
        share: the share of rows to set aside, reached with the last group.
        group: the column whose equal values make a group.
        seed: seed of the choice; whether a group is chosen depends on the seed, its value, and the groups' sizes.

    Returns:
        The rows that stay, and those that are set aside.

    Raises:
        ValueError: there is only one group.
    """
    groups = [str(value) for value in rows[group][:]]
    sizes = Counter(groups)
    if len(sizes) < 2:
        raise ValueError(
            f"all {len(groups):,} rows have the same {group}, so none can be held out: "
            "choose another group_column, or give eval_data"
        )
    chosen = set(choose_held_out(sizes, share, 0, seed).units)
    parts: tuple[list[int], list[int]] = ([], [])
    for row, value in enumerate(groups):
        parts[value in chosen].append(row)
    return rows.select(parts[0]), rows.select(parts[1])


def shared_texts(one: Dataset, other: Dataset, columns: Sequence[str]) -> int:
    """Count the rows of `one` that have, in one of the columns, a text that `other` has there, too."""
    known = [set(other[column][:]) for column in columns]
    return sum(
        any(text in texts for text, texts in zip(row, known, strict=True))
        for row in zip(*(one[column][:] for column in columns), strict=True)
    )


def fingerprint(rows: Dataset) -> str:
    """A short hash of everything in a table, however it is stored."""
    total = hashlib.sha256(repr(rows.column_names).encode())
    for batch in rows.with_format("arrow").iter(batch_size=1_000):
        total.update(repr(batch.to_pylist()).encode())
    return total.hexdigest()[:16]


def _read(source: str, split: str) -> Dataset:
    if is_corpus(source):
        return Corpus(source).functions("train")
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{source} is a folder, but no corpus of `open-codesage extract`: give one file of rows")
    if not path.exists():
        return _download(source, split)
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    reader = READERS.get(suffixes[-1] if suffixes else "")
    if reader is None:
        raise ValueError(f"{source} has none of the endings {', '.join(READERS)}, with or without .gz")
    # Texts such as "NA" are texts: pandas would make them missing values.
    options = {"keep_default_na": False} if reader == "csv" else {}
    try:
        return load_dataset(reader, data_files=str(path), split="train", **options)
    except (DatasetGenerationError, ValueError, OSError, StopIteration) as error:
        cause = error.__cause__ or error
        raise ValueError(
            f"{source} holds no rows, or none that can be read as {reader}: {type(cause).__name__}: {cause}"
        ) from error


def _download(source: str, split: str) -> Dataset:
    name, _, wanted = source.partition(":")
    try:
        rows = load_dataset(name, split=wanted or split)
    except (DatasetGenerationError, ValueError, OSError) as error:
        raise ValueError(
            f"there is no file {source}, and as a dataset of the Hub it cannot be read (split {wanted or split}): "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(rows, DatasetDict):
        raise ValueError(f"{source} has several splits, name one of them: {', '.join(rows)}")
    return rows


def _require_values(rows: Dataset, column: str, source: str, text: bool) -> None:
    """Refuse a column that lacks a value, and one of texts that holds something else."""
    kind = rows.features[column]
    values = rows.with_format("arrow")[:][column]
    if text and not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise ValueError(f"{source}: the column {column} holds {getattr(kind, 'dtype', kind)} and no texts")
    lacking = pc.is_null(values, nan_is_null=True)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        lacking = pc.or_kleene(lacking, pc.equal(pc.utf8_trim_whitespace(values), ""))
    empty = pc.indices_nonzero(lacking).to_pylist()
    if empty:
        raise ValueError(
            f"{source}: the column {column} is empty in {len(empty):,} of {len(rows):,} rows "
            f"(the first is row {empty[0] + 1:,}): remove them"
        )
