"""What every package gives, one folder a package: its source files cleaned, its functions, and how to compare them.

Contract: `harvest` reads the packages one after another, hands their files to worker processes and writes, for each
package, `files/` and `functions/` (Parquet, in the order of the package) and `counts.json`. A package whose folder is
there is not read again, so that a killed run resumes at the package where it was. `Harvested` opens one.

Invariants: what a package gives depends on the package and the rules only. Memory holds some files a worker and the
rows of one part, however large the package is.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...common.output import new_folder
from ...common.randomness import draw
from ...common.workers import Loss, in_batches, map_in_workers
from ..corpus import FILE_COLUMNS, FUNCTION_COLUMNS, PartWriter
from ..examine import Extracted, digest, examine
from ..rules import MIN_BYTES, Reason, clean, is_test, names_other_licence, reject_text
from ..sources import Counts, SkippedFile, SourceFile, read
from .archives import DamagedArchive, read_package
from .contamination import References, fingerprint
from .download import Downloaded
from .similarity import Tokens, shingles, signature, tokens

_BATCH, _BATCH_SECONDS = 16, 240.0

PROVENANCE = {"package": pa.string(), "version": pa.string()}
_COMPARED = {"digest": pa.uint64(), "signature": pa.binary(), "match": pa.string(), "share": pa.float64()}
HARVESTED_FILES: dict[str, pa.DataType] = {
    **FILE_COLUMNS,
    **PROVENANCE,
    "first_line": pa.int64(),
    **_COMPARED,
    "size": pa.int64(),
    "tokens": pa.int64(),
    "addresses": pa.int64(),
    "functions": pa.int64(),
    "documented": pa.int64(),
    "rejected": pa.string(),
    "unparsable": pa.string(),
    "unread": pa.int64(),
    "unread_bytes": pa.int64(),
}
HARVESTED_FUNCTIONS: dict[str, pa.DataType] = {
    **FUNCTION_COLUMNS,
    **PROVENANCE,
    **_COMPARED,
    "file": pa.int64(),
}


@dataclass(frozen=True)
class Rules:
    """What a file must be like.

    Attributes:
        licences: names of the licences and groups that are taken.
        max_file_bytes: larger files are left out.
        test_share: share of the tests that are taken.
        references: file of the index of evaluation sets, if there are any.
    """

    licences: tuple[str, ...]
    max_file_bytes: int
    test_share: float
    references: Path | None


@dataclass(frozen=True)
class Compared:
    """How a text is compared with others.

    Attributes:
        digest: equal for texts that differ in white space only.
        signature: its MinHash signature.
        match: name of the row of an evaluation set that it has most in common with, if that is too much.
        share: the share that they have in common.
    """

    digest: int
    signature: bytes
    match: str | None
    share: float | None


@dataclass
class Outcome:
    """A file as it comes back from a worker.

    Attributes:
        file: where it is from, without its content.
        skipped: why it is left out, None if it is not; what follows is then empty.
        text: its text, cleaned.
        first_line: the line of the file at which the text begins.
        addresses: number of e-mail addresses replaced.
        tokens: number of words and signs.
        extracted: its functions.
        compared: of the text, then of the code of every function.
    """

    file: SourceFile
    skipped: Reason | None = None
    text: str = ""
    first_line: int = 1
    addresses: int = 0
    tokens: int = 0
    extracted: Extracted = field(default_factory=Extracted)
    compared: list[Compared] = field(default_factory=list)


def process(file: SourceFile, rules: Rules) -> Outcome:
    """Read, judge, clean and take apart one file; a pure function of the file and the rules."""
    origin = replace(file, content=b"")  # the text goes back once
    try:
        if is_test(file.path) and not _is_in_share(file.path, rules.test_share):
            raise SkippedFile("test")
        cleaned = clean(read(file, rules.max_file_bytes))
        if names_other_licence(cleaned.header, rules.licences):
            raise SkippedFile("other_licence")
        if len(cleaned.text) < MIN_BYTES:
            raise SkippedFile("too_small")
        if reason := reject_text(cleaned.text):  # the notice may have stood below a long header
            raise SkippedFile(reason)
    except SkippedFile as error:
        return Outcome(origin, skipped=error.reason)
    extracted = examine(cleaned.text, file.language)
    hashes = tokens(cleaned.text)
    return Outcome(
        origin,
        text=cleaned.text,
        first_line=1 + cleaned.lines,
        addresses=cleaned.addresses,
        tokens=len(hashes),
        extracted=extracted,
        compared=[
            _compare(cleaned.text, hashes, rules.references, whole_file=True),
            *(_compare(row["code"], tokens(row["code"]), rules.references, whole_file=False) for row in extracted.rows),
        ],
    )


def _compare(text: str, hashes: Tokens, references: Path | None, whole_file: bool) -> Compared:
    match = None if references is None else _load(references).find(fingerprint(hashes), whole_file)
    return Compared(
        digest(text), signature(shingles(hashes)), match.name if match else None, match.share if match else None
    )


@cache
def _load(path: Path) -> References:
    return References.load(path)


def _is_in_share(path: str, share: float) -> bool:
    """A choice that depends on the path only."""
    return draw(path) < share * 2**64


def _lost(file: SourceFile, reason: Loss) -> Outcome:
    return Outcome(replace(file, content=b""), skipped=reason)


@dataclass(frozen=True)
class Harvested:
    """What one package gave.

    Attributes:
        source: the package.
        folder: where it lies.
    """

    source: Downloaded
    folder: Path

    @property
    def skipped(self) -> Counts:
        """How many files were left out, by language and reason."""
        counts = json.loads((self.folder / "counts.json").read_text(encoding="utf-8"))
        return Counter({(language, reason): number for language, reason, number in counts["skipped"]})


def harvest(
    packages: Sequence[Downloaded], folder: Path, rules: Rules, workers: int
) -> tuple[list[Harvested], dict[str, str]]:
    """Take the packages apart, or find them taken apart.

    Args:
        packages: packages in the cache.
        folder: where each package gets a folder.
        rules: what a file must be like.
        workers: number of worker processes.

    Returns:
        The packages that gave a file, in the order given; by unit, why the others did not (`damaged`, `no_file`).
    """
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    by_unit = {downloaded.package.unit: downloaded for downloaded in packages}
    places = {unit: folder / unit.replace("/", "+") for unit in by_unit}
    done = {unit for unit, place in places.items() if place.is_dir()}
    state = _Reading()
    waiting = [by_unit[unit] for unit in by_unit if unit not in done]
    outcomes = map_in_workers(
        partial(process, rules=rules), in_batches(state.files(waiting, rules), _BATCH), workers, _BATCH_SECONDS, _lost
    )
    with tqdm(total=len(packages), initial=len(done), unit="package", desc="harvest") as bar:
        for unit, group in groupby(outcomes, key=lambda outcome: outcome.file.unit):
            with new_folder(places[unit]) as aside:
                _write(aside, group, by_unit[unit], state.skipped[unit])
            if unit in state.damaged:
                shutil.rmtree(places[unit])
            bar.update(state.finished_before(unit))
        bar.update(len(waiting) - state.reported)
    failed = {unit: state.damaged.get(unit, "no_file") for unit in by_unit if not places[unit].is_dir()}
    return [Harvested(by_unit[unit], places[unit]) for unit in by_unit if unit not in failed], failed


class _Reading:
    """The packages as one stream of files, and what became of them on the way."""

    def __init__(self) -> None:
        self.skipped: dict[str, Counts] = {}
        self.damaged: dict[str, str] = {}
        self.order: list[str] = []
        self.reported = 0

    def files(self, packages: Iterable[Downloaded], rules: Rules) -> Iterator[SourceFile]:
        for downloaded in packages:
            unit = downloaded.package.unit
            self.order.append(unit)
            self.skipped[unit] = Counter()
            try:
                yield from read_package(downloaded, rules.max_file_bytes, self.skipped[unit])
            except DamagedArchive as error:
                self.damaged[unit] = f"damaged: {error}"

    def finished_before(self, unit: str) -> int:
        """How many packages have come to an end since this was asked last, up to this one."""
        before, self.reported = self.reported, self.order.index(unit) + 1
        return self.reported - before


def _write(folder: Path, outcomes: Iterable[Outcome], source: Downloaded, skipped: Counts) -> None:
    """Write what a package gave; `skipped` is complete when the outcomes have come to their end."""
    provenance = {"package": source.package.name, "version": source.package.version}
    left_out: Counts = Counter()
    files = PartWriter(folder / "files", HARVESTED_FILES)
    functions = PartWriter(folder / "functions", HARVESTED_FUNCTIONS)
    with files, functions:
        for outcome in outcomes:
            file, extracted = outcome.file, outcome.extracted
            if outcome.skipped:
                left_out[file.language, outcome.skipped] += 1
                continue
            origin = {"language": file.language, "path": file.path, "licence": file.licence, "unit": file.unit}
            whole, *parts = outcome.compared
            for row, compared in zip(extracted.rows, parts, strict=True):
                lines = {name: row[name] + outcome.first_line - 1 for name in ("start_line", "end_line")}
                functions.write({**row, **lines, **origin, **provenance, **vars(compared), "file": files.rows})
            files.write(
                {
                    **origin,
                    **provenance,
                    **vars(whole),
                    "text": outcome.text,
                    "first_line": outcome.first_line,
                    "size": len(outcome.text.encode(errors="surrogatepass")),
                    "tokens": outcome.tokens,
                    "addresses": outcome.addresses,
                    "functions": extracted.functions,
                    "documented": extracted.documented,
                    "rejected": json.dumps(extracted.rejected),
                    "unparsable": extracted.unparsable,
                    "unread": extracted.unread,
                    "unread_bytes": extracted.unread_bytes,
                }
            )
    left_out += skipped
    counts: Mapping[str, Any] = {"skipped": [[*key, number] for key, number in sorted(left_out.items())]}
    (folder / "counts.json").write_text(json.dumps(counts) + "\n", encoding="utf-8")
