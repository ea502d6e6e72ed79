"""A corpus as small as it goes, in one file, for a machine that can be reached by a copy only.

Contract: `pack` writes the documented functions of a corpus folder to a tar file of xz streams, `unpack` makes a corpus
folder of it, whose `files/` are put together out of the functions (see `reassembly`). Rows are sorted so that like
stands by like, and what can be told from the code is not stored: the hard positive as the lines taken out of the code,
the summary as a number of words of the documentation, the name as a word of the code. Each is stored as it is where
that would not give it back.

Invariants: an unpacked row equals the packed one in every column of `FUNCTION_COLUMNS`. The same corpus gives the same
file, byte for byte. A damaged file is refused, and leaves no folder behind. The held-out units stay held out.
"""

import hashlib
import io
import json
import lzma
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ..common.randomness import permutation
from ..common.workers import cores
from .corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter
from .reassembly import files_of

Row = dict[str, Any]

_VERSION = 1
_INDEX = "index.json"
_ALIKE = ("language", "unit", "licence", "path")
"""Columns that change seldom in the order of the rows: stored once for all rows that follow with the same value."""
_TEXTS = ("name", "summary", "hard_positive", "documentation", "code")
_SEPARATOR = "\0"  # The parser lets none in.
_AS_IT_IS = "="
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 26, "lc": 4, "lp": 0, "pb": 0}]
_WORD = re.compile(r"\w+")
_INDENTATION = re.compile(r"[ \t]*")
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        rows: Number of functions, of which `held_out` are held out.
        held_out: Number of functions of held-out units.
        left_out: Functions of the corpus that are not packed, by reason: `too_long`, `not_sampled` (held-out ones).
        pairs: Training functions by language.
        characters: Characters of code and documentation.
        bytes: Size of the file.
    """

    rows: int
    held_out: int
    left_out: dict[str, int]
    pairs: dict[str, int]
    characters: int
    bytes: int


def pack(
    corpus: Path,
    output: Path,
    most_characters: int | None = None,
    held_out: int | None = None,
    most_bytes: int | None = None,
    block_characters: int = 1 << 24,
    workers: int | None = None,
) -> Packed:
    """Pack the functions of a corpus.

    Args:
        corpus: Corpus folder.
        output: File to write; it must not exist.
        most_characters: Leave out training functions whose code is longer; none if None.
        held_out: Take so many of the held-out functions, by chance; all if None.
        most_bytes: Refuse to write a larger file.
        block_characters: Characters of code in a stream, about. Streams are packed and unpacked at the same time; fewer
            are smaller.
        workers: Processes; one per core if None.

    Returns:
        What was packed.

    Raises:
        ValueError: the corpus is no corpus, `output` is there already, a text holds a NUL, or the file is too large.
    """
    if output.exists():
        raise ValueError(f"{output} is already there: remove it, or choose another file")
    opened = Corpus(corpus)
    rows, left_out = _chosen(opened, most_characters, held_out)
    blocks = list(_blocks(rows, block_characters))
    with _processes(workers, len(blocks)) as pool:
        streams = list(pool.map(_compressed, blocks))
    of_units = opened.held_out_units
    train = [row for row in rows if row["unit"] not in of_units]
    facts: dict[str, Any] = {
        "rows": len(rows),
        "held_out": len(rows) - len(train),
        "left_out": left_out,
        "pairs": dict(sorted(Counter(row["language"] for row in train).items())),
        "characters": sum(len(row["code"]) + len(row["documentation"]) for row in rows),
    }
    index = {
        "version": _VERSION,
        "units": sorted(of_units),
        "digests": [hashlib.sha256(stream).hexdigest() for stream in streams],
        **facts,
    }
    contents = {_INDEX: json.dumps(index, indent=1).encode()}
    contents |= {f"functions-{number:05d}.xz": stream for number, stream in enumerate(streams)}
    data = _archive(contents)
    if most_bytes is not None and len(data) > most_bytes:
        raise ValueError(
            f"{len(rows):,} functions of {corpus} take {len(data) / _MEBIBYTE:.1f} MiB packed, the limit is "
            f"{most_bytes / _MEBIBYTE:.1f} MiB: choose a smaller most_characters or fewer held-out ones"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.partial")
    aside.write_bytes(data)
    aside.replace(output)
    return Packed(**facts, bytes=len(data))


def unpack(packed: Path, output: Path, workers: int | None = None) -> Packed:
    """Make a corpus folder of a packed file.

    Args:
        packed: A file of `pack`.
        output: Corpus folder to write; it must not exist.
        workers: Processes; one per core if None.

    Returns:
        What was unpacked.

    Raises:
        ValueError: the file is missing, damaged or of another version, or `output` is there already.
    """
    from ..common.output import new_folder

    index, streams = _read(packed)
    with new_folder(output) as folder:
        jobs = list(enumerate(streams))
        with _processes(workers, len(jobs)) as pool:
            try:
                files = sum(pool.map(partial(_write_block, folder=folder), jobs))
            except (lzma.LZMAError, ValueError, KeyError, IndexError) as error:
                raise ValueError(f"{packed} is damaged ({type(error).__name__}: {error}): copy it again") from error
        found = Packed(**{name: index[name] for name in ("rows", "held_out", "left_out", "pairs", "characters")},
                       bytes=packed.stat().st_size)  # fmt: skip
        for name, content in (
            ("held_out.json", {"units": index["units"], "pairs": found.held_out}),
            ("report.json", {"packed": asdict(found), "files": files}),
        ):
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return found


def _chosen(corpus: Corpus, most_characters: int | None, held_out: int | None) -> tuple[list[Row], dict[str, int]]:
    """The rows to pack, in order, and how many were left out, by reason."""
    train = corpus.functions("train").select_columns(list(FUNCTION_COLUMNS)).with_format("arrow")[:].to_pylist()
    test = corpus.functions("held_out").select_columns(list(FUNCTION_COLUMNS)).with_format("arrow")[:].to_pylist()
    short = [row for row in train if most_characters is None or len(row["code"]) <= most_characters]
    sample = test
    if held_out is not None:
        sample = [test[number] for number in np.sort(permutation(0, len(test))[:held_out])]
    left_out = {"too_long": len(train) - len(short), "not_sampled": len(test) - len(sample)}
    # Python's order is stable: functions of one line stay in theirs.
    rows = sorted([*short, *sample], key=lambda row: (row["language"], row["unit"], row["path"], row["start_line"]))
    return rows, left_out


def _blocks(rows: list[Row], characters: int) -> Iterator[list[Row]]:
    """Rows in blocks of about so many characters of code; rows of a file are not parted."""
    block: list[Row] = []
    size = 0
    for _, same_file in groupby(rows, key=lambda row: (row["language"], row["unit"], row["path"])):
        own = list(same_file)
        block += own
        size += sum(len(row["code"]) for row in own)
        if size >= characters:
            yield block
            block, size = [], 0
    if block:
        yield block


def _processes(workers: int | None, jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max(1, min(workers or cores(), jobs)), get_context("spawn"))


def _archive(contents: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def _read(packed: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The index and the streams, whose digests are right."""
    try:
        with tarfile.open(packed) as archive:
            contents = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            data = {name: file.read() for name, file in contents.items() if file is not None}
        index = json.loads(data.pop(_INDEX))
        version, digests = index["version"], index["digests"]
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{packed} is not a packed corpus ({type(error).__name__}: {error}): copy it again") from error
    if version != _VERSION:
        raise ValueError(f"{packed} was packed by another version of this package: pack the corpus again with this one")
    streams = [data[name] for name in sorted(data)]
    if [hashlib.sha256(stream).hexdigest() for stream in streams] != digests:
        raise ValueError(f"{packed} is damaged (its parts are not those that were packed): copy it again")
    return index, streams


def _compressed(rows: list[Row]) -> bytes:
    return lzma.compress(_to_bytes(rows), lzma.FORMAT_XZ, filters=_FILTERS)


def _write_block(job: tuple[int, bytes], folder: Path) -> int:
    """Write the functions and files of a stream; how many files they are."""
    number, stream = job
    rows = _from_bytes(lzma.decompress(stream, lzma.FORMAT_XZ))
    files = list(files_of(rows))
    for kind, columns, content in (("functions", FUNCTION_COLUMNS, rows), ("files", FILE_COLUMNS, files)):
        aside = folder / f"{kind}-{number:05d}"
        with PartWriter(aside, columns, part_characters=1 << 62) as writer:
            for row in content:
                writer.write(row)
        (folder / kind).mkdir(exist_ok=True)
        (aside / "part-00000.parquet").replace(folder / kind / f"part-{number:05d}.parquet")
        aside.rmdir()
    return len(files)


def _to_bytes(rows: list[Row]) -> bytes:
    head = {column: _runs(row[column] for row in rows) for column in _ALIKE}
    ends = [0, *(row["end_line"] for row in rows[:-1])]
    starts = [row["start_line"] - end for row, end in zip(rows, ends, strict=True)]
    lines = [row["end_line"] - row["start_line"] - row["code"].count("\n") for row in rows]
    stored = {
        "name": [_name_to_text(row["name"], row["code"]) for row in rows],
        "summary": [_summary_to_text(row["summary"], row["documentation"]) for row in rows],
        "hard_positive": [_lines_to_text(row["hard_positive"], row["code"]) for row in rows],
        "documentation": [row["documentation"] for row in rows],
        "code": [row["code"] for row in rows],
    }
    for column in _TEXTS:
        if bad := next((row for row in rows if _SEPARATOR in row[column]), None):
            raise ValueError(f"{bad['path']}, line {bad['start_line']}: its {column} holds a NUL; remove that row")
    sections = [json.dumps({"rows": len(rows), "alike": head, "starts": starts, "lines": lines})]
    sections += [value for column in _TEXTS for value in stored[column]]
    return _SEPARATOR.join(sections).encode("utf-8", "surrogatepass")


def _from_bytes(data: bytes) -> list[Row]:
    head_text, *texts = data.decode("utf-8", "surrogatepass").split(_SEPARATOR)
    head = json.loads(head_text)
    number = head["rows"]
    if len(texts) != number * len(_TEXTS):
        raise ValueError(f"{len(texts)} texts for {number} rows")
    columns = {column: texts[i * number : (i + 1) * number] for i, column in enumerate(_TEXTS)}
    alike = {column: [value for value, count in head["alike"][column] for _ in range(count)] for column in _ALIKE}
    rows: list[Row] = []
    end = 0
    for i, code in enumerate(columns["code"]):
        start = end + head["starts"][i]
        end = start + head["lines"][i] + code.count("\n")
        documentation = columns["documentation"][i]
        rows.append(
            {
                "name": _text_to_name(columns["name"][i], code),
                "summary": _text_to_summary(columns["summary"][i], documentation),
                "documentation": documentation,
                "code": code,
                "hard_positive": _text_to_lines(columns["hard_positive"][i], code),
                "start_line": start,
                "end_line": end,
                **{column: alike[column][i] for column in _ALIKE},
            }
        )
    return rows


def _runs(values: Iterable[str]) -> list[tuple[str, int]]:
    return [(value, len(list(same))) for value, same in groupby(values)]


def _name_to_text(name: str, code: str) -> str:
    """The name as the number of the word of the code that it is."""
    for number, word in enumerate(_WORD.finditer(code)):
        if word[0] == name:
            return str(number)
        if number == 20:
            break
    return _AS_IT_IS + name


def _text_to_name(text: str, code: str) -> str:
    if text.startswith(_AS_IT_IS):
        return text[1:]
    number = int(text)
    return next(word[0] for i, word in enumerate(_WORD.finditer(code)) if i == number)


def _summary_to_text(summary: str, documentation: str) -> str:
    """The summary as the number of words at the start of the documentation that it is."""
    number = len(summary.split())
    return str(number) if _text_to_summary(str(number), documentation) == summary else _AS_IT_IS + summary


def _text_to_summary(text: str, documentation: str) -> str:
    if text.startswith(_AS_IT_IS):
        return text[1:]
    number = int(text)
    return " ".join(documentation.split(maxsplit=number)[:number])


def _lines_to_text(lines: str, code: str) -> str:
    """A text as the lines of the code that it lacks, less an indentation.

    The first item is the indentation, the others are numbers of lines to leave out and to take, by turns; one below 0
    takes all but so many. A line that the code lacks is an item of its own.
    """
    own, wanted = code.split("\n"), lines.split("\n")
    first = wanted[0]
    indentations = {_INDENTATION.match(line)[0] for line in own if line.lstrip(" \t").startswith(first)} | {""}  # type: ignore[index]
    texts = [_edits(own, wanted, indentation) for indentation in sorted(indentations)]
    best = min(texts, key=len)
    return best if _text_to_lines(best, code) == lines else _AS_IT_IS + lines


def _edits(own: list[str], wanted: list[str], indentation: str) -> str:
    own = _without(own, indentation)
    items: list[str] = []
    at = taken = 0  # how many lines of the code are behind, and how many of them were taken just now
    for line in wanted:
        if taken and at < len(own) and own[at] == line:
            at, taken = at + 1, taken + 1
            continue
        if taken:
            items.append(str(taken))
            taken = 0
        try:
            found = own.index(line, at)
        except ValueError:
            items.append(_AS_IT_IS + line)
            continue
        items.append(str(found - at))
        at, taken = found + 1, 1
    if taken:
        items.append(str(at - len(own) if at < len(own) else taken))
    return "\n".join([indentation, *items])


def _text_to_lines(text: str, code: str) -> str:
    if text.startswith(_AS_IT_IS):
        return text[1:]
    indentation, *items = text.split("\n")
    own = _without(code.split("\n"), indentation)
    found: list[str] = []
    at, leaves_out = 0, True
    for item in items:
        if item.startswith(_AS_IT_IS):
            found.append(item[1:])
            continue
        number = int(item)
        end = at + number if number >= 0 else len(own) + number
        if not leaves_out:
            found += own[at:end]
        at, leaves_out = end, not leaves_out
    return "\n".join(found)


def _without(lines: list[str], indentation: str) -> list[str]:
    """Lines less an indentation, as far as they have it; see `tokenization.excerpts`."""
    if not indentation:
        return lines
    return [line.removeprefix(indentation) if line.startswith(indentation) else line.lstrip(" \t") for line in lines]
