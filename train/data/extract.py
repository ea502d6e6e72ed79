"""From source files to the corpus folder: the first step of everything.

Contract: `extract(text, language)` is the pure function from a file's text to its rows, for whatever engine runs it;
`main(config)` runs it over folders or a dataset in worker processes and writes the folder that `corpus.Corpus` reads.

Invariants: the rows and their order depend on the sources and the config only, not on the number of processes. No
pair's code stands twice in the corpus (white space aside), so no held-out pair stands among the training pairs.
"""

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from open_codesage.tokenization.filters import rejection_reason
from open_codesage.tokenization.functions import functions_of
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.source import Unparsable, parse

from ..console import say
from .collect import Counts, SkippedFile, SourceFile, collect_folders, read, stream_dataset
from .folders import new_folder
from .rules import Reason
from .workers import Loss, cores, in_batches, map_in_workers

if TYPE_CHECKING:
    from .build import CorpusBuilder

_BATCH = 16
"""Files per message to a worker."""
_BATCH_SECONDS = 120.0
"""Far above what the limits of the parser allow for a batch: only a hanging process takes so long."""


@dataclass(frozen=True)
class ExtractConfig:
    """Extract source files, and functions with their documentation, into a corpus folder.

    Attributes:
        output: the corpus folder to write; it must not exist yet.
        source: folders of source code; the standard library of the running Python, without its tests, if neither this
            nor dataset is given.
        dataset: Hub id, or local Parquet or JSON-lines file or folder, with the columns of The Stack (content,
            lang, and optionally path and licence); it is streamed.
        dataset_config: configuration of the Hub dataset.
        dataset_dir: folder in the Hub dataset, such as data/python.
        dataset_split: split of the Hub dataset.
        languages: languages to take.
        licence: licence of files whose source does not tell it.
        held_out_share: at least this share of the pairs is held out.
        min_held_out: at least this many pairs are held out, but no more than a fifth of a small corpus.
        max_file_bytes: larger files are left out.
        max_files: stop after this many files; all if none.
        seed: seed of the choice of held-out modules and packages.
        num_proc: number of worker processes; one per core if none.
    """

    output: Path
    source: tuple[str, ...] = ()
    dataset: str | None = None
    dataset_config: str | None = None
    dataset_dir: str | None = None
    dataset_split: str = "train"
    languages: tuple[str, ...] = ("python", "java")
    licence: str | None = None
    held_out_share: float = 0.1
    min_held_out: int = 500
    max_file_bytes: int = 250_000
    max_files: int | None = None
    seed: int = 0
    num_proc: int | None = None

    def __post_init__(self) -> None:
        if self.source and self.dataset:
            raise ValueError("source and dataset exclude each other: give one of them")
        if not self.languages:
            raise ValueError("languages is empty: give at least one")
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        if not 0 < self.held_out_share <= 0.5:
            raise ValueError(f"held_out_share is {self.held_out_share}: give a share above 0, at most 0.5")
        for name in ("min_held_out", "max_file_bytes", "max_files", "num_proc"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")


ROW = ("name", "summary", "documentation", "code", "hard_positive", "start_line", "end_line")
"""The columns of a row of `extract`, all attributes of a `Function`."""


@dataclass
class Extracted:
    """What one file gave.

    Attributes:
        rows: one row a function that passed the filters; the columns are those of `ROW`.
        functions: number of functions, documented or not.
        documented: number of documented functions.
        rejected: how many of them the filters rejected, by reason.
        unparsable: why the file has no syntax tree, None if it has one.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    functions: int = 0
    documented: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unparsable: str | None = None


def examine(text: str, language: str) -> Extracted:
    """Extract the functions of a file that passed the filters, and count the others."""
    result = Extracted()
    try:
        source = parse(text, language)
    except Unparsable as error:
        result.unparsable = error.reason
        return result
    functions = functions_of(source)
    bodies = (body.byte_range for _, match in source.matches("functions") for body in match.get("body", ()))
    result.functions = len(set(bodies))
    result.documented = len(functions)
    for function in functions:
        if reason := rejection_reason(function, language):
            result.rejected[reason] += 1
        else:
            result.rows.append({name: getattr(function, name) for name in ROW})
    return result


def extract(text: str, language: str) -> list[dict[str, Any]]:
    """The rows of one file: its documented functions that pass the filters; none if it can not be parsed."""
    return examine(text, language).rows


@dataclass
class Outcome:
    """A file as it comes back from a worker.

    Attributes:
        file: where it is from, without its text.
        skipped: why it is left out, None if it is not; what follows is then empty.
        text: its text.
        size: bytes of its text in UTF-8.
        extracted: its functions.
        digests: digest of the text, then of the code of every row; equal digests are duplicates.
    """

    file: SourceFile
    skipped: Reason | None = None
    text: str = ""
    size: int = 0
    extracted: Extracted = field(default_factory=Extracted)
    digests: list[int] = field(default_factory=list)


def _process(file: SourceFile, max_bytes: int) -> Outcome:
    origin = replace(file, content="")  # the text goes back once
    try:
        text = read(file, max_bytes)
    except SkippedFile as error:
        return Outcome(origin, skipped=error.reason)
    extracted = examine(text, file.language)
    digests = [digest(text), *(digest(row["code"]) for row in extracted.rows)]
    return Outcome(origin, None, text, len(text.encode()), extracted, digests)


def outcomes(files: Iterable[SourceFile], max_bytes: int, workers: int) -> Iterator[Outcome]:
    """What becomes of files, in their order; they are read and parsed in worker processes.

    Args:
        files: the files.
        max_bytes: larger files are left out.
        workers: number of processes.
    """
    function = partial(_process, max_bytes=max_bytes)
    return map_in_workers(function, in_batches(files, _BATCH), workers, _BATCH_SECONDS, _lost)


def _lost(file: SourceFile, reason: Loss) -> Outcome:
    return Outcome(replace(file, content=""), skipped=reason)


def digest(text: str) -> int:
    """Eight bytes that are equal for texts that differ in white space only (chance of an accident below n²/2⁶⁵)."""
    return int.from_bytes(hashlib.blake2b("".join(text.split()).encode(), digest_size=8).digest())


def main(config: ExtractConfig) -> Path:
    """Write the corpus folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the output is there already; a source or the dataset is missing, malformed or without a file of the
            languages; too few documented functions for two splits.
    """
    from tqdm import tqdm

    from .build import CorpusBuilder

    begin = time.perf_counter()
    with new_folder(config.output) as folder:
        skipped: Counts = Counter()
        total = None
        if config.dataset:
            files: Iterable[SourceFile] = stream_dataset(
                config.dataset,
                config.languages,
                skipped,
                config_name=config.dataset_config,
                data_dir=config.dataset_dir,
                split=config.dataset_split,
                licence=config.licence,
            )
        else:
            files, total = collect_folders(
                config.source, config.languages, config.licence, config.max_file_bytes, skipped
            )
        builder = CorpusBuilder(folder)
        files = itertools.islice(files, config.max_files)
        with builder, tqdm(total=total, unit="B", unit_scale=True, desc="extract") as bar:
            for outcome in outcomes(files, config.max_file_bytes, config.num_proc or cores()):
                builder.add(outcome)
                bar.update(outcome.size)
                bar.set_postfix(files=builder.files.rows, pairs=builder.functions.rows, refresh=False)
        if builder.files.rows == 0:
            raise ValueError(
                f"no source file of {', '.join(config.languages)} in {_source(config)}{_reasons(builder, skipped)}: "
                "choose another source or other languages"
            )
        if builder.functions.rows == 0:
            raise ValueError(
                f"no documented function passed the filters in {builder.files.rows} files of {_source(config)}"
                f"{_reasons(builder, skipped)}: pairs can not be made from this source"
            )
        report = builder.finish(skipped, config.held_out_share, config.min_held_out, config.seed)
    say(_summary(report, config, time.perf_counter() - begin))
    return config.output


def _source(config: ExtractConfig) -> str:
    return config.dataset or ", ".join(config.source) or "the standard library"


def _reasons(builder: "CorpusBuilder", skipped: Counts) -> str:
    """What became of the files and functions, for an error message."""
    reasons: Counter[str] = Counter()
    for (_, reason), number in skipped.items():
        reasons[reason] += number
    for counts in builder.languages.values():
        reasons += counts.skipped + counts.unparsable + counts.rejected
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    return f" ({listed})" if listed else ""


def _summary(report: dict[str, Any], config: ExtractConfig, seconds: float) -> str:
    languages = report["languages"].values()
    held_out = report["held_out"]
    size = sum(counts["bytes"] for counts in languages) / 1e6
    line = (
        f"extract: {sum(counts['files'] for counts in languages)} files, {size:.1f} MB, "
        f"{sum(counts['documented'] for counts in languages)} documented functions, "
        f"{sum(counts['pairs'] for counts in languages)} pairs, {held_out['pairs']} of them held out "
        f"({held_out['units']} modules or packages), {seconds:.1f} s -> {config.output}"
    )
    if held_out["pairs"] < config.min_held_out:
        line += f"\nonly {held_out['pairs']} pairs are held out, not {config.min_held_out}: this source is small"
    return line
