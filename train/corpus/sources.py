"""Where source files come from: folders, the standard library of the running Python, or a dataset.

Contract: `collect_folders` and `stream_dataset` give `SourceFile`s in a fixed order, each with the unit that it belongs
to; `read` gives a file's text or says why it is not taken. What is left out is counted by language and reason.

Invariant: nothing outside the folders given is read (symbolic links are not followed), a dataset is streamed and never
held or downloaded whole, and source text is never executed.
"""

import os
import stat
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from open_codesage.tokenization.languages import language_of_path, resolve_language
from open_codesage.tokenization.source import Unparsable, decode

from ..common.tree import files, walk
from .json_rows import is_json_lines, read_rows
from .rules import SKIPPED_FOLDERS, Reason, reject_name, reject_text
from .split import tree_units

STANDARD_LIBRARY_TESTS = frozenset({"test", "tests", "idle_test"})
_STANDARD_LIBRARY_LICENCE = "PSF-2.0"
_UNKNOWN_LICENCE = _UNKNOWN_LANGUAGE = "unknown"

# Columns by their name in The Stack, then in other datasets of its kind.
_PATH_COLUMNS = ("max_stars_repo_path", "path")
_REPOSITORY_COLUMNS = ("max_stars_repo_name", "repo_name", "repo")
_LICENCE_COLUMNS = ("max_stars_repo_licenses", "licenses", "license", "licence")
_DATASET_FILES = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
TELLING_BYTES = 65_536
"""What is read of a file to tell its language, where its extension does not."""
_COMPRESSED = (".gz", ".zst", ".xz", ".bz2")

Counts = Counter[tuple[str, Reason]]
"""How many files were left out, by language and reason. Folders that are left out whole have no language: ""."""


@dataclass(frozen=True)
class SourceFile:
    """One source file, before it is read or judged.

    Attributes:
        content: its text, as characters or in UTF-8, or the place where it is read from; None where a row has no text.
        language: name of its language in the language table.
        path: how it is called in the corpus: `folder/path/in/folder`, or `repository/path`.
        licence: SPDX name, or "unknown".
        unit: the module, package or repository it belongs to; see `split`.
    """

    content: str | bytes | Path | None
    language: str
    path: str
    licence: str
    unit: str


class SkippedFile(ValueError):
    """A file that is not taken into the corpus.

    Attributes:
        reason: one of `rules.REASONS`, for counting.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def read(file: SourceFile, max_bytes: int) -> str:
    """The text of a file.

    Raises:
        SkippedFile: it cannot be read or decoded, or the rules are against it.
    """
    if isinstance(file.content, Path):
        try:
            data = file.content.read_bytes()
        except OSError as error:
            raise SkippedFile("unreadable") from error
    elif isinstance(file.content, bytes):
        data = file.content
    elif file.content is None:
        raise SkippedFile("not_utf8")
    else:
        try:
            data = file.content.encode()
        except UnicodeEncodeError as error:  # half a surrogate pair out of a JSON escape
            raise SkippedFile("not_utf8") from error
    if reason := reject_name(file.path.rpartition("/")[2], len(data), max_bytes):
        raise SkippedFile(reason)
    try:
        text = decode(data)
    except Unparsable as error:
        raise SkippedFile("binary" if error.reason == "binary" else "not_utf8") from error
    if reason := reject_text(text):
        raise SkippedFile(reason)
    return text


def collect_folders(
    folders: Sequence[str | Path], languages: Sequence[str], licence: str | None, max_bytes: int, skipped: Counts
) -> tuple[list[SourceFile], int]:
    """Find the source files below some folders, sorted by path, and their size in bytes together.

    Args:
        folders: folders of source code; if empty, the standard library of the running Python, without its tests.
        languages: names of the languages to take.
        licence: licence of all files, if known.
        max_bytes: larger files are left out.
        skipped: files left out here are counted in it.

    Raises:
        ValueError: a folder is missing, is a file, or cannot be read.
    """
    standard = not folders
    roots = [Path(sysconfig.get_path("stdlib"))] if standard else [Path(folder) for folder in folders]
    without = SKIPPED_FOLDERS | STANDARD_LIBRARY_TESTS if standard else SKIPPED_FOLDERS
    found: dict[str, tuple[Path, str]] = {}
    sizes: dict[str, int] = {}
    labels: set[str] = set()
    for root in dict.fromkeys(root.resolve() for root in roots):
        label = _label(root, labels)
        for location in _walk(root, without, skipped):
            language = language_of_path(location)
            if language is None:
                continue
            try:
                status = location.lstat()
                if stat.S_ISREG(status.st_mode):
                    language = language_of_path(location, partial(_beginning, location)) or language
            except OSError:
                skipped[language, "unreadable"] += 1
                continue
            reason = _reject_entry(location, language, languages, status, max_bytes)
            if reason:
                skipped[language, reason] += 1
                continue
            inside = location.relative_to(root).as_posix().encode(errors="surrogateescape").decode(errors="replace")
            found[f"{label}/{inside}"] = location, language
            sizes[f"{label}/{inside}"] = status.st_size
    units = tree_units(sizes)
    licence = licence or (_STANDARD_LIBRARY_LICENCE if standard else _UNKNOWN_LICENCE)
    sources = [SourceFile(found[path][0], found[path][1], path, licence, units[path]) for path in sorted(found)]
    return sources, sum(sizes.values())


def _beginning(location: Path) -> str:
    with location.open("rb") as file:
        return file.read(TELLING_BYTES).decode(errors="replace")


def _label(root: Path, taken: set[str]) -> str:
    """The folder's own name, distinguished from others of the same name by a number."""
    if not root.is_dir():
        raise ValueError(f"{root} is {'not a folder' if root.exists() else 'missing'}: --source takes existing folders")
    if not os.access(root, os.R_OK | os.X_OK):
        raise ValueError(f"{root} cannot be read: check its permissions")
    name = root.name or "root"
    label, number = name, 2
    while label in taken:
        label, number = f"{name}-{number}", number + 1
    taken.add(label)
    return label


def _walk(root: Path, without: frozenset[str], skipped: Counts) -> Iterator[Path]:
    def unreadable(_error: OSError) -> None:
        skipped["", "unreadable"] += 1

    def enter(folder: os.DirEntry[str]) -> bool:
        name = folder.name
        # Not Path.exists: it raises where the longer path is longer than the system takes.
        if name.startswith(".") or name.lower() in without or os.path.exists(f"{folder.path}/pyvenv.cfg"):  # noqa: PTH110
            skipped["", "vendored"] += 1
            return False
        return True

    for entry in walk(root, enter, unreadable):
        path = Path(entry.path)
        if not entry.is_dir(follow_symlinks=False) and not (entry.is_symlink() and path.is_dir()):
            yield path


def _reject_entry(
    location: Path, language: str, languages: Sequence[str], status: os.stat_result, max_bytes: int
) -> Reason | None:
    if language not in languages:
        return "not_selected"
    if stat.S_ISLNK(status.st_mode):
        return "symbolic_link"
    if not stat.S_ISREG(status.st_mode):
        return "not_a_regular_file"
    return reject_name(location.name, status.st_size, max_bytes)


def stream_dataset(
    dataset: str,
    languages: Sequence[str],
    skipped: Counts,
    *,
    config_name: str | None = None,
    data_dir: str | None = None,
    split: str = "train",
    licence: str | None = None,
) -> Iterator[SourceFile]:
    """Stream source files out of a dataset in The Stack's schema: `content`, `lang`, optional path and licence.

    Args:
        dataset: Hub id, or a local Parquet or JSON-lines file (it may be compressed), or a folder of them.
        languages: names of the languages to take.
        skipped: rows left out here are counted in it.
        config_name: configuration of a Hub dataset.
        data_dir: folder of a Hub dataset, such as `data/python`.
        split: split of a Hub dataset.
        licence: licence of rows that do not tell theirs.

    Raises:
        ValueError: the dataset is missing, cannot be read, or lacks a column.
    """
    number = found = 0
    for number, row in enumerate(_rows(dataset, config_name, data_dir, split), start=1):
        if row is None:
            skipped[_UNKNOWN_LANGUAGE, "unreadable"] += 1
            continue
        found += 1
        if found == 1 and (missing := [name for name in ("content", "lang") if name not in row]):
            raise ValueError(
                f"{dataset} has no column {' and no column '.join(missing)}, only {', '.join(sorted(row))}: needed "
                "are the columns of The Stack, content (the text) and lang (the language)"
            )
        file = file_of_row(row, f"row-{number}", licence)
        if file.language not in languages:
            skipped[file.language, "not_selected"] += 1
        else:
            yield file
    if number == 0:
        raise ValueError(f"{dataset} is empty: there is no row to extract from")
    if found == 0:
        raise ValueError(f"the dataset {dataset} cannot be read: no line of it is a JSON object, as a row has to be")


def file_of_row(row: Mapping[str, Any], name: str, licence: str | None = None) -> SourceFile:
    """The source file in a row of a dataset in The Stack's schema.

    The unit is the repository; without one, the first part of the path; without a path, the row.

    Args:
        row: columns `content` and `lang`, optionally path, repository and licence.
        name: what to call the file if the row has no path.
        licence: its licence if the row has none.
    """
    path = str(_first(row, _PATH_COLUMNS) or "")
    repository = str(_first(row, _REPOSITORY_COLUMNS) or "")
    content = row.get("content")
    licences = _first(row, _LICENCE_COLUMNS) or licence or _UNKNOWN_LICENCE
    return SourceFile(
        content=content if isinstance(content, str) else None,
        language=_table_language(row.get("lang")),
        path="/".join(part for part in (repository, path) if part) or name,
        licence=licences if isinstance(licences, str) else ", ".join(map(str, licences)),
        unit=repository or path.lstrip("/").partition("/")[0] or name,
    )


def _rows(
    dataset: str, config_name: str | None, data_dir: str | None, split: str
) -> Iterator[Mapping[str, Any] | None]:
    """Stream the rows of a dataset; None for one that cannot be read."""
    import datasets  # slow, and not needed for folders
    import pyarrow as pa

    local = Path(dataset)
    parts = _local_files(local) if local.exists() else []
    if not parts and (_format(local) or local.is_absolute() or dataset.startswith(".")):
        raise ValueError(f"the dataset {dataset} is missing: give a Hub id or a local file or folder")
    if parts and _format(parts[0]) == "json" and all(map(is_json_lines, parts)):
        yield from read_rows(parts)
        return
    try:
        if parts:
            data = {"data_files": [str(path) for path in parts], "split": "train"}
            rows = datasets.load_dataset(str(_format(parts[0])), **data, streaming=True)
        else:
            rows = datasets.load_dataset(dataset, config_name, data_dir=data_dir, split=split, streaming=True)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"the dataset {dataset} cannot be opened ({error}): give a Hub id or a local file") from error
    try:
        yield from rows
    except RecursionError:
        raise ValueError(f"the dataset {dataset} cannot be read: a row is nested too deeply") from None
    except (pa.ArrowException, datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        root = error.__cause__ or error
        raise ValueError(f"the dataset {dataset} cannot be read: {root}".splitlines()[0]) from error


def _local_files(local: Path) -> list[Path]:
    """The data files of a local dataset, of one kind and not all empty."""
    parts = [local] if local.is_file() else sorted(path for path in files(local) if _format(path) and path.is_file())
    formats = {_format(path) for path in parts}
    if len(formats) != 1 or None in formats:
        raise ValueError(f"{local} must be a .parquet or .jsonl file, or a folder of one of the two kinds")
    if not any(path.stat().st_size for path in parts):
        raise ValueError(f"{local} is empty: there is no row to extract from")
    return parts


def _format(path: Path) -> str | None:
    """Builder of the datasets library for a data file, None for other files."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return _DATASET_FILES.get(suffixes[-1]) if suffixes else None


def _first(row: Mapping[str, Any], columns: Sequence[str]) -> Any:
    return next((row[name] for name in columns if row.get(name)), None)


def _table_language(name: Any) -> str:
    """The table's name of a dataset's language; other languages keep their name."""
    try:
        return resolve_language(str(name))
    except ValueError:
        return str(name)
