"""Extraction on many cores and machines: the pure function of `extract` under engines that others keep.

Contract: `extract_batch` is for `datasets.Dataset.map(batched=True)`. `ExtractRank` is the last step of a datatrove
pipeline whose reader gives documents in The Stack's schema; every rank writes a folder of its own, whole or not at all,
so that a run started again does only what is missing. `join` makes one corpus folder of the ranks' folders. All give
the rows of `open-codesage extract`, but for duplicates across ranks: The Stack comes without them.

Invariants: memory grows neither with the ranks nor with the documents of one. Files are parsed in a process of their
own: one that crashes or hangs it costs that file. Which units are held out depends on the seed and their names only.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from ..common.output import new_folder
from ..common.randomness import draw
from .corpus import FUNCTION_COLUMNS
from .examine import ROW, outcomes
from .sources import file_of_row
from .writer import CorpusBuilder

MOST_BYTES = 250_000
"""Larger files are left out, as `extract` does unless told otherwise."""


def extract_batch(batch: dict[str, list[Any]], indices: list[int], languages: tuple[str, ...]) -> dict[str, list[Any]]:
    """The functions of some rows, for `dataset.map(extract_batch, batched=True, with_indices=True, num_proc=…)`.

    Args:
        batch: columns in The Stack's schema.
        indices: numbers of the rows.
        languages: names of the languages to take.

    Returns:
        The columns of `corpus.FUNCTION_COLUMNS`, one row a function.
    """
    rows = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
    files = (file_of_row(row, f"row-{number + 1}") for number, row in zip(indices, rows, strict=True))
    found: dict[str, list[Any]] = {name: [] for name in FUNCTION_COLUMNS}
    for outcome in outcomes((file for file in files if file.language in languages), MOST_BYTES, workers=1):
        for row in outcome.extracted.rows:
            for name, column in found.items():
                column.append(row[name] if name in ROW else getattr(outcome.file, name))
    return found


class ExtractRank(PipelineStep):
    """Write the files and functions of a rank's documents to a folder of its own, below `output`.

    It stands behind a reader whose `text_key` is "content"; the other columns come as metadata.

    Args:
        output: folder that all ranks can write to.
        languages: names of the languages to take.
        licence: licence of files that do not tell theirs.
    """

    name = "Extract files and functions"
    type = "open-codesage"

    def __init__(self, output: str, languages: tuple[str, ...], licence: str | None = None) -> None:
        super().__init__()
        self.output, self.languages, self.licence = output, languages, licence

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Write the folder of a rank, unless it is there already; gives no documents."""
        yield from ()
        output = Path(self.output) / f"rank-{rank:05d}"
        if output.exists():  # Written by a run that was stopped before it could note that.
            return
        rows = ({**document.metadata, "content": document.text, "id": document.id} for document in data or ())
        files = (file_of_row(row, row["id"], self.licence) for row in rows)
        with new_folder(output) as folder:
            with CorpusBuilder(folder) as builder:
                for outcome in outcomes((file for file in files if file.language in self.languages), MOST_BYTES, 1):
                    self.stat_update(outcome.skipped or "files")
                    self.stat_update("functions", value=len(outcome.extracted.rows), unit="file")
                    builder.add(outcome)
            counts = {language: vars(counts) for language, counts in builder.languages.items()}
            (folder / "report.json").write_text(json.dumps(counts), encoding="utf-8")


def join(ranks: Path, output: Path, held_out_share: float = 0.01, seed: int = 0) -> Path:
    """Make a corpus folder of the folders that `ExtractRank` has written; the parts are linked, not copied.

    Args:
        ranks: the folder given to `ExtractRank`.
        output: the corpus folder to write, on the same file system; it must not exist yet.
        held_out_share: chance of every unit to be held out.
        seed: seed of that choice.

    Returns:
        `output`.

    Raises:
        ValueError: nothing is there, a rank is not finished, or `output` is there already.
    """
    folders = sorted(ranks.glob("rank-*"))
    if not folders or any(ranks.glob(".rank-*")):
        raise ValueError(f"{ranks} holds no ranks, or unfinished ones: run the pipeline to its end first")
    held_out: set[str] = set()
    languages: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    with new_folder(output) as corpus:
        for kind in ("files", "functions"):
            (corpus / kind).mkdir()
            parts = (part for folder in folders for part in sorted((folder / kind).glob("part-*.parquet")))
            for number, part in enumerate(parts):
                (corpus / kind / f"part-{number:05d}.parquet").hardlink_to(part)
                for batch in pq.ParquetFile(part).iter_batches(columns=["unit"]):
                    units = batch["unit"].unique().to_pylist()
                    held_out.update(unit for unit in units if _chance(seed, unit) < held_out_share)
        for folder in folders:
            for language, counts in json.loads((folder / "report.json").read_text("utf-8")).items():
                _add(languages[language], counts)
        for name, content in (
            ("held_out.json", {"seed": seed, "units": sorted(held_out)}),
            ("report.json", {"languages": dict(sorted(languages.items()))}),
        ):
            (corpus / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return output


def _chance(seed: int, unit: str) -> float:
    """A number from 0 to 1 that depends on the seed and the unit's name only."""
    return draw(f"{seed} {unit}") / 2**64


def _add(total: dict[str, Any], counts: dict[str, Any]) -> None:
    """Add counts, and counts by reason, to others."""
    for name, value in counts.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value
