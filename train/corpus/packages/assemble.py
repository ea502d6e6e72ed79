"""A corpus out of what packages gave: duplicates, evaluation sets and surplus taken out, everything counted.

Contract: `assemble` goes over the harvested packages in order, the held-out ones first, decides for every file and
every function whether it stays, and writes what `corpus.Corpus` reads, with the columns `package` and `version`, and
for files `first_line`, the line of the file in the package at which the text begins.

Invariants: of equal and nearly equal texts of a language the first one stays, so that nothing held out is like anything
trained on. A package is wholly held out or wholly in training. No row shares a function with the evaluation sets. The
texts are never in memory together; what is held of a text is its digest and, for one language at a time, its signature.
"""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset

from ...common.randomness import draw
from ..corpus import FILE_COLUMNS, FUNCTION_COLUMNS, PartWriter, read_parts
from ..writer import LanguageCounts
from .harvest import PROVENANCE, Harvested
from .similarity import NearDuplicates

FILES: dict[str, pa.DataType] = {**FILE_COLUMNS, **PROVENANCE, "first_line": pa.int64()}
FUNCTIONS: dict[str, pa.DataType] = {**FUNCTION_COLUMNS, **PROVENANCE}
CONTAMINATION = "contamination.tsv"

_COMPARED = ("language", "unit", "path", "digest", "match", "share")
_OF_FILES = (
    "size",
    "tokens",
    "addresses",
    "functions",
    "documented",
    "rejected",
    "unparsable",
    "unread",
    "unread_bytes",
    "first_line",
    "version",
    "licence",
)
_OF_FUNCTIONS = ("file", "start_line")
_WITH_THEIR_FILE = ("duplicate", "near_duplicate", "over_package_share")
"""Why a file is left out together with its functions. They stay where the file holds other code that must go."""


@dataclass
class PackagesCounts(LanguageCounts):
    """The report on one language of a corpus of packages.

    Attributes:
        packages: packages with a file in the corpus.
        tokens: words and signs in the files.
        functions: functions in the files and in those left out for other code in them, documented or not; `documented`
            and `rejected` are of the same files.
        headers: files that lost a licence header.
        addresses: e-mail addresses replaced in the files.
        with_their_file: pairs left out with a file that is a duplicate, or one too many of its package.
        near_duplicates: pairs left out because another one has nearly the same code.
        contaminated: pairs left out because they share a function with an evaluation set.
        held_out: pairs of held-out packages.
    """

    packages: int = 0
    tokens: int = 0
    functions: int = 0
    headers: int = 0
    addresses: int = 0
    with_their_file: int = 0
    near_duplicates: int = 0
    contaminated: int = 0
    held_out: int = 0


def assemble(
    packages: Sequence[Harvested], folder: Path, package_share: float, package_bytes: int
) -> tuple[dict[str, PackagesCounts], list[dict[str, Any]]]:
    """Write the corpus folder, but for its report.

    Args:
        packages: what the packages gave.
        folder: an empty folder.
        package_share: the most that one package may bring of a language's bytes in the training split.
        package_bytes: up to this size the files of a package in a language are not cut.

    Returns:
        The counts by language, and a record for each language of each package in the corpus.

    Raises:
        ValueError: one of the splits would have no pair.
    """
    packages = sorted(packages, key=lambda harvested: not harvested.source.package.held_out)
    held_out = {harvested.source.package.unit for harvested in packages if harvested.source.package.held_out}
    files = _Rows([harvested.folder / "files" for harvested in packages], _OF_FILES)
    functions = _Rows([harvested.folder / "functions" for harvested in packages], _OF_FUNCTIONS)
    files.leave_out_duplicates()
    places = functions["file"] + files.beginnings(functions["unit"])
    paired = np.bincount(places[functions.stays], minlength=len(files.reasons)) > 0
    _cut_packages(files, paired, held_out, package_share, package_bytes)
    reasons_of_files = files.reasons[places]
    functions.leave_out(np.isin(reasons_of_files, _WITH_THEIR_FILE), "with_its_file")
    functions.leave_out_duplicates()
    kept = [unit in held_out for unit in functions["unit"][functions.stays]]
    if not 0 < sum(kept) < len(kept):
        raise ValueError(
            f"{sum(kept)} of {len(kept)} pairs are held out: mark some packages of the recipe with `held_out: true`, "
            "and not all"
        )
    files.write(folder / "files", FILES)
    functions.write(folder / "functions", FUNCTIONS)
    units = sorted(held_out & {*files["unit"][files.stays], *functions["unit"][functions.stays]})
    content = {"units": units, "pairs": sum(kept)}
    (folder / "held_out.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _list_contamination(folder / CONTAMINATION, files, functions)
    languages = np.unique(files["language"]).tolist()
    counts = {language: _count(files, functions, language, held_out, packages) for language in languages}
    return counts, _records(files, functions, held_out)


class _Rows:
    """The files or the functions of all packages: their small columns, and for each row why it is left out.

    A row that shares a function with an evaluation set is left out from the beginning.

    Args:
        folders: for each package, where its parts are.
        columns: the columns that are needed besides those by which texts are compared.
    """

    def __init__(self, folders: Sequence[Path], columns: Sequence[str]) -> None:
        self.folders = folders
        parts = [str(part) for folder in folders for part in sorted(folder.glob("part-*.parquet"))]
        self._data = pyarrow.dataset.dataset(parts)
        table = self._data.to_table(columns=[*_COMPARED, *columns])
        self._columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
        contaminated = table.column("match").is_valid().to_numpy()
        self.reasons = np.where(contaminated, "contaminated", "").astype("<U20")  # "" stays

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    @property
    def stays(self) -> npt.NDArray[np.bool_]:
        """Which rows are not left out."""
        return self.reasons == ""

    def beginnings(self, units: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The number of the first row of each unit given."""
        first = dict(zip(*np.unique(self["unit"], return_index=True), strict=True))
        return np.array([first[unit] for unit in units], np.int64)

    def leave_out(self, chosen: npt.NDArray[np.bool_], reason: str) -> None:
        """Leave rows out, if they are not left out already."""
        self.reasons[chosen & self.stays] = reason

    def leave_out_duplicates(self) -> None:
        """Leave out all but the first of equal texts, then of nearly equal texts of a language."""
        staying = np.flatnonzero(self.stays)
        _, first = np.unique(self["digest"][staying], return_index=True)
        duplicates = np.ones(len(staying), bool)
        duplicates[first] = False
        self.reasons[staying[duplicates]] = "duplicate"
        for language in np.unique(self["language"]):
            seen = NearDuplicates()
            signatures = self._data.to_table(
                columns=["signature"], filter=pyarrow.dataset.field("language") == language
            ).column("signature")
            for row, signature in zip(np.flatnonzero(self["language"] == language), signatures, strict=True):
                if not self.reasons[row] and seen.find_or_add(int(row), signature.as_py()) is not None:
                    self.reasons[row] = "near_duplicate"

    def write(self, folder: Path, columns: dict[str, pa.DataType]) -> None:
        """Write the rows that stay, in order."""
        number = 0
        with PartWriter(folder, columns) as writer:
            for source in self.folders:
                for row in read_parts(source):
                    if not self.reasons[number]:
                        writer.write({name: row[name] for name in columns})
                    number += 1


def _cut_packages(
    files: _Rows, paired: npt.NDArray[np.bool_], held_out: set[str], package_share: float, package_bytes: int
) -> None:
    """Leave out files of packages that bring too much of a language: first those without pairs, then as paths decide.

    The share is of what is left: the limit is lowered until the packages that are cut have their share.
    """
    training = files.stays & ~np.isin(files["unit"].astype(str), sorted(held_out))
    for language in np.unique(files["language"]):
        rows = np.flatnonzero(training & (files["language"] == language))
        if not len(rows):
            continue
        owners = np.unique(files["unit"][rows].astype(str), return_inverse=True)[1]
        sizes = np.bincount(owners, weights=files["size"][rows])
        limit = float("inf")
        while (lower := max(package_share * np.minimum(sizes, limit).sum(), package_bytes)) < limit - 1:
            limit = lower
        for owner in np.flatnonzero(sizes > limit):
            own = rows[owners == owner]
            order = sorted(own, key=lambda row: (not paired[row], draw(str(files["path"][row]), 64)))
            surplus = np.cumsum(files["size"][order]) > limit
            files.reasons[np.array(order)[surplus]] = "over_package_share"


def _count(
    files: _Rows, functions: _Rows, language: str, held_out: set[str], packages: Sequence[Harvested]
) -> PackagesCounts:
    """Fill the report on one language."""
    own_files, own_functions = (rows["language"] == language for rows in (files, functions))
    kept = own_files & files.stays
    pairs = own_functions & functions.stays
    counts = PackagesCounts(files=int(kept.sum()), pairs=int(pairs.sum()))
    counts.packages = len(np.unique(files["unit"][kept].astype(str)))
    for harvested in packages:
        for (name, reason), number in harvested.skipped.items():
            if name == language:
                counts.skipped[reason] += number
    counts.skipped.update(files.reasons[own_files & ~files.stays].tolist())
    counts.unparsable.update(reason for reason in files["unparsable"][kept] if reason)
    counts.bytes = int(files["size"][kept].sum())
    for name in ("tokens", "addresses", "unread", "unread_bytes"):
        setattr(counts, name, int(files[name][kept].sum()))
    used = kept | (own_files & (files.reasons == "contaminated"))
    for rejected in files["rejected"][used]:
        counts.rejected.update(json.loads(rejected))
    for name in ("functions", "documented"):
        setattr(counts, name, int(files[name][used].sum()))
    counts.headers = int((files["first_line"][kept] > 1).sum())
    reasons = Counter(functions.reasons[own_functions & ~functions.stays].tolist())
    counts.duplicates, counts.near_duplicates = reasons["duplicate"], reasons["near_duplicate"]
    counts.contaminated, counts.with_their_file = reasons["contaminated"], reasons["with_its_file"]
    counts.held_out = sum(unit in held_out for unit in functions["unit"][pairs])
    return counts


def _records(files: _Rows, functions: _Rows, held_out: set[str]) -> list[dict[str, Any]]:
    """What each package has in the corpus, by language."""
    size: Counter[tuple[str, str]] = Counter()
    number: Counter[tuple[str, str]] = Counter()
    pairs: Counter[tuple[str, str]] = Counter(
        zip(functions["unit"][functions.stays], functions["language"][functions.stays], strict=True)
    )
    for row in np.flatnonzero(files.stays):
        key = files["unit"][row], files["language"][row]
        number[key] += 1
        size[key] += int(files["size"][row])
    origins = dict(zip(files["unit"], zip(files["version"], files["licence"], strict=True), strict=True))
    return [
        {
            "unit": unit,
            "version": origins[unit][0],
            "licence": origins[unit][1],
            "language": language,
            "files": number[unit, language],
            "bytes": size[unit, language],
            "pairs": pairs[unit, language],
            "held_out": unit in held_out,
        }
        for unit, language in sorted(number | pairs, key=lambda key: (key[1], key[0]))
    ]


def _list_contamination(path: Path, files: _Rows, functions: _Rows) -> None:
    """Write what was left out because it is in an evaluation set, one line a file or function."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab")
        writer.writerow(["kind", "language", "path", "line", "share", "evaluation"])
        for kind, rows in (("file", files), ("function", functions)):
            for row in np.flatnonzero(rows.reasons == "contaminated"):
                line = int(rows["start_line"][row]) if kind == "function" else 1
                values = (rows[name][row] for name in ("language", "path"))
                writer.writerow([kind, *values, line, f"{rows['share'][row]:.2f}", rows["match"][row]])
