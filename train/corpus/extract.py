"""From source files to the corpus folder: the first step of everything.

Contract: `main(config)` examines the files of folders or a dataset in worker processes and writes the folder that
`corpus.Corpus` reads.

Invariants: the rows and their order depend on the sources and the config only, not on the number of processes. No
pair's code stands twice in the corpus (white space aside), so no held-out pair stands among the training pairs.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from open_codesage.tokenization.languages import resolve_language

from ..common.checks import require_range, require_some
from ..common.console import say
from ..common.output import new_folder
from ..common.workers import cores
from .examine import outcomes
from .sources import Counts, SourceFile, collect_folders, stream_dataset

if TYPE_CHECKING:
    from .writer import CorpusBuilder


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
        license: license of files whose source does not tell it.
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
    license: str | None = None
    held_out_share: float = 0.1
    min_held_out: int = 500
    max_file_bytes: int = 250_000
    max_files: int | None = None
    seed: int = 0
    num_proc: int | None = None

    def __post_init__(self) -> None:
        if self.source and self.dataset:
            raise ValueError("source and dataset exclude each other: give one of them")
        require_some(self, "languages")
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        require_range(self, "held_out_share", above=0, at_most=0.5)
        require_range(self, "min_held_out", "max_file_bytes", "max_files", "num_proc", at_least=1)


def main(config: ExtractConfig) -> Path:
    """Write the corpus folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the output is there already; a source or the dataset is missing, malformed or without a file of the
            languages; too few documented functions for two splits.
    """
    from tqdm import tqdm

    from .writer import CorpusBuilder

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
                licence=config.license,
            )
        else:
            files, total = collect_folders(
                config.source, config.languages, config.license, config.max_file_bytes, skipped
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
                f"{_reasons(builder, skipped)}: pairs cannot be made from this source"
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
    if unread := sum(counts["unread"] for counts in languages):
        size = sum(counts["unread_bytes"] for counts in languages) / 1e3
        line += f"\n{unread} regions ({size:.1f} kB) could not be parsed: functions in them may be missing"
    if held_out["pairs"] < config.min_held_out:
        line += f"\nonly {held_out['pairs']} pairs are held out, not {config.min_held_out}: this source is small"
    return line
