"""Rows for Stage I, prepared once: token ids and identifier ids, packed to rows, memory-mapped.

Contract: `prepare_shards` turns source files into a `datasets.Dataset` on disk. A row has `input_ids`, `identifier_ids`
(0, or k for the k-th name of the file; see `encode_with_identifiers`) and `document_lengths`, which sum to the row's
length. A document is a file, or a part of a long one cut at a line break, and ends with the end token. Parsing and
tokenizing is slower than an accelerator trains, masking is not: so this is stored, and masks are drawn on the fly.

Invariants: the rows depend on the files, the tokenizer and `max_length` only, not on the number of processes. No token
of a file is lost. A file that cannot be parsed is kept without identifiers (random masks only), and counted by reason.
"""

import dataclasses
import hashlib
import json
import shutil
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from open_codesage.tokenization.identifiers import Identifier, find_identifiers
from open_codesage.tokenization.source import Unparsable, definition_of
from open_codesage.tokenization.tokenizer import encode_with_identifiers
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ...common.console import say
from ...common.fingerprint import content_hash
from ...common.run import Run
from ...common.workers import map_in_workers

Array = npt.NDArray[Any]

REPORT = "shards.json"

_VERSION = 1
"""To be raised with every change that gives other rows for the same files."""
_MOST_NAMES = 2**16 - 1
_OPEN_ROWS = 512
"""Rows held in memory to be filled up."""
_ROWS_PER_BATCH = 256
_FILES_PER_MESSAGE, _MESSAGE_SECONDS = 16, 120.0


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What was prepared.

    Attributes:
        max_length: Most tokens in a row.
        files: Number of files; of these `empty_files` have no token and give no document.
        empty_files: Number of files without a token.
        documents: Number of files and parts of files.
        rows: Number of rows.
        tokens: Number of tokens, end tokens included.
        identifier_tokens: Number of tokens that belong to an identifier.
        unparsable: Number of files used without identifiers, by reason.
    """

    max_length: int
    files: int
    empty_files: int
    documents: int
    rows: int
    tokens: int
    identifier_tokens: int
    unparsable: dict[str, int]

    @property
    def fill(self) -> float:
        """Share of the rows' places that hold a token."""
        return self.tokens / (self.rows * self.max_length)

    @property
    def identifier_share(self) -> float:
        """Share of the tokens that belong to an identifier."""
        return self.identifier_tokens / self.tokens


def prepare_shards(
    files: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    output: Path,
    num_proc: int = 0,
    origin: str | None = None,
) -> datasets.Dataset:
    """Prepare the rows, or open them if the same files were prepared before.

    Args:
        files: Source files with the columns `text` and `language`.
        tokenizer: A fast tokenizer with an end token.
        max_length: Most tokens in a row, end tokens included.
        output: The folder to write; `read_report` reads its report. It appears only when it is complete. A process that
            finds another one preparing it waits.
        num_proc: Worker processes, in which a file that crashes or hangs a parser costs only its identifiers; 0 works
            in this process.
        origin: What identifies the files. If None, all of their text is read for that, each time.

    Returns:
        The rows, memory-mapped: `input_ids` (uint16 or uint32), `identifier_ids` (uint16), `document_lengths` (uint32).

    Raises:
        ValueError: The folder holds something else, there is no token in the files, or a column is missing.
    """
    if missing := {"text", "language"} - set(files.column_names):
        raise ValueError(f"the files have no column {', '.join(sorted(missing))}, only {', '.join(files.column_names)}")
    if max_length < 2:
        raise ValueError(f"max_length is {max_length}: one token and the end token need at least 2")
    run = Run(output, _settings(files, tokenizer, max_length, origin), REPORT)
    if not run.finished():
        with run.begin(wait=True):
            if not run.finished():
                _prepare(files, _Encoder(tokenizer, max_length), tokenizer, max_length, run, num_proc)
    return datasets.load_from_disk(str(output))


def _prepare(
    files: datasets.Dataset,
    encoder: "_Encoder",
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    run: Run,
    num_proc: int,
) -> None:
    report: dict[str, Any] = {}
    with run.write(report) as folder:
        rows = folder / "packed" / "rows.arrow"
        rows.parent.mkdir()
        report |= _write(rows, _encoded(files, encoder, num_proc), tokenizer, max_length)
        if not report["rows"]:
            raise ValueError(f"there is no text in the {len(files)} files: nothing to train on")
        datasets.Dataset.from_file(str(rows)).save_to_disk(str(folder))
        shutil.rmtree(rows.parent)
    say(_summary(read_report(run.output)))


def read_report(folder: Path) -> ShardReport:
    """Read the report of prepared rows.

    Raises:
        ValueError: The folder was not written by `prepare_shards`.
    """
    try:
        content = json.loads((folder / REPORT).read_text("utf-8"))
        return ShardReport(**{field.name: content[field.name] for field in dataclasses.fields(ShardReport)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{folder} does not hold prepared rows ({REPORT}: {error}): remove it, or choose another folder"
        ) from error


def _summary(report: ShardReport) -> str:
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(report.unparsable.items()))
    return (
        f"rows: {report.rows:,} of up to {report.max_length} tokens from {report.files:,} files, "
        f"{report.fill:.1%} full, {report.identifier_share:.1%} of the tokens in identifiers"
        + f"; files without identifiers: {reasons}"
        * bool(reasons)
    )


class _Document(NamedTuple):
    tokens: Array
    names: Array


class _File(NamedTuple):
    """The documents of a file, and why it has no identifiers (None if they were looked for)."""

    documents: list[_Document]
    reason: str | None


class _Encoder:
    """Turns a file into documents. It is sent to the worker processes once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end token (eos_token): documents cannot be distinguished")
        self.tokenizer = tokenizer
        self.capacity = max_length - 1
        pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        self.breaks_line = np.array(["\n" in piece for piece in pieces])
        self.dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32

    def __call__(self, file: tuple[str, str]) -> _File:
        text, language = file
        try:
            identifiers = find_identifiers(text, language)
        except Unparsable as error:
            return self.without_identifiers(file, error.reason)
        if identifiers and max(identifier.id for identifier in identifiers) > _MOST_NAMES:
            return self.without_identifiers(file, "too_many_names")
        return _File(self._documents(text, identifiers), None)

    def without_identifiers(self, file: tuple[str, str], reason: str) -> _File:
        return _File(self._documents(file[0], []), reason)

    def _documents(self, text: str, identifiers: list[Identifier]) -> list[_Document]:
        [(tokens, names)] = encode_with_identifiers([text], [identifiers], self.tokenizer)
        end = self.tokenizer.eos_token_id
        return [
            _Document(np.append(tokens[a:b], end).astype(self.dtype), np.append(names[a:b], 0).astype(np.uint16))
            for a, b in self._parts(tokens)
        ]

    def _parts(self, tokens: Array) -> Iterator[tuple[int, int]]:
        """Cut a file in front of the last line break that fits, unless that leaves half of a row empty."""
        breaks = np.flatnonzero(self.breaks_line[tokens])
        start = 0
        while start < len(tokens):
            end = min(start + self.capacity, len(tokens))
            if end < len(tokens):
                line = breaks[: np.searchsorted(breaks, end, side="right")][-1:]
                if line.size and line[0] > start + self.capacity // 2:
                    end = int(line[0])
            yield start, end
            start = end


def _encoded(files: datasets.Dataset, encoder: _Encoder, num_proc: int) -> Iterator[_File]:
    """Encode all files, in their order."""
    batches = (
        list(zip(batch["text"], batch["language"], strict=True))
        for batch in files.select_columns(["text", "language"]).iter(_FILES_PER_MESSAGE)
    )
    encoded: Iterable[_File] = map(encoder, chain.from_iterable(batches))
    if num_proc:
        encoded = map_in_workers(encoder, batches, num_proc, _MESSAGE_SECONDS, encoder.without_identifiers)
    yield from tqdm(encoded, "prepare rows", total=len(files), unit="file")


def _write(path: Path, encoded: Iterable[_File], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """Pack and write the rows as an Arrow stream; return the figures of the report."""
    figures = dict.fromkeys(("files", "empty_files", "documents", "rows", "tokens", "identifier_tokens"), 0)
    unparsable: Counter[str] = Counter()

    def documents() -> Iterator[_Document]:
        for file in encoded:
            figures["files"] += 1
            figures["empty_files"] += not file.documents
            figures["documents"] += len(file.documents)
            if file.reason:
                unparsable[file.reason] += 1
            yield from file.documents

    token_type = pa.uint16() if len(tokenizer) <= 2**16 else pa.uint32()
    schema = pa.schema(
        {
            "input_ids": pa.list_(token_type),
            "identifier_ids": pa.list_(pa.uint16()),
            "document_lengths": pa.list_(pa.uint32()),
        }
    )
    rows = pack(documents(), max_length)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        while batch := list(islice(rows, _ROWS_PER_BATCH)):
            tokens = [np.concatenate([document.tokens for document in row]) for row in batch]
            names = [np.concatenate([document.names for document in row]) for row in batch]
            lengths = [np.array([len(document.tokens) for document in row]) for row in batch]
            figures["rows"] += len(batch)
            figures["tokens"] += sum(map(len, tokens))
            figures["identifier_tokens"] += sum(int(np.count_nonzero(row)) for row in names)
            columns = [
                _lists(column, field.type) for column, field in zip((tokens, names, lengths), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return {"max_length": max_length, **figures, "unparsable": dict(unparsable)}


def _lists(rows: list[Array], kind: pa.ListType) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(rows), kind.value_type))


def pack(documents: Iterable[_Document], max_length: int) -> Iterator[list[_Document]]:
    """Gather documents into rows: each goes where it leaves the least space, among a bounded number of open rows.

    Args:
        documents: Documents of 2 to `max_length` tokens.
        max_length: Most tokens in a row.

    Yields:
        Rows, in an order that depends on the documents' lengths and order only.
    """
    spaces: list[tuple[int, int]] = []  # of the open rows: free places and number, sorted
    rows: dict[int, list[_Document]] = {}
    numbers = count()
    for document in documents:
        size = len(document.tokens)
        fits = bisect_left(spaces, (size, 0))
        space, number = spaces.pop(fits) if fits < len(spaces) else (max_length, next(numbers))
        rows.setdefault(number, []).append(document)
        insort(spaces, (space - size, number))
        if spaces[0][0] < 2 or len(spaces) > _OPEN_ROWS:  # full, or too many are open: the fullest goes
            yield rows.pop(spaces.pop(0)[1])
    yield from rows.values()


def _settings(
    files: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, origin: str | None
) -> dict[str, Any]:
    """Everything that the rows depend on: the content of the files, not where they are."""
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    definition |= {"truncation": None, "padding": None}  # left by the latest call, and of no effect here
    return {
        "version": _VERSION,
        "max_length": max_length,
        "tokenizer": content_hash([json.dumps(definition), str(tokenizer.eos_token_id)]),
        "queries": content_hash([definition_of(language) for language in sorted(files.unique("language"))]),
        "files": _content(files) if origin is None else origin,
    }


def _content(files: datasets.Dataset) -> str:
    digest = hashlib.sha256()
    for batch in files.select_columns(["text", "language"]).iter(1000):
        for value in chain(batch["text"], batch["language"]):
            data = value.encode()
            digest.update(len(data).to_bytes(8))
            digest.update(data)
    return digest.hexdigest()
