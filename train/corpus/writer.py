"""The corpus while it is being built: duplicates dropped, everything counted, units held out.

Contract: `add` takes the outcome of every file in order; `finish` chooses the held-out units and writes `held_out.json`
and `report.json`. Memory grows with the number of functions and files (some hundred bytes each), not with their text.

Invariant: no code is written twice, and a function that also stands in another unit is never held out.
"""

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .corpus import FILE_COLUMNS, FUNCTION_COLUMNS, PartWriter, read_parts
from .rules import Reason
from .sources import Counts
from .split import choose_held_out

if TYPE_CHECKING:
    from .examine import Outcome


@dataclass
class LanguageCounts:
    """The report on one language.

    Attributes:
        files: files in the corpus.
        bytes: their size in UTF-8.
        skipped: files left out, by reason.
        unparsable: files in the corpus without a syntax tree, by reason; they have text but no functions.
        unread: regions of the files that the parser could not read; functions in them may be missing.
        unread_bytes: their size.
        documented: documented functions in the files.
        rejected: those the filters rejected, by reason.
        duplicates: those whose code was there already, white space aside.
        pairs: those in the corpus.
    """

    files: int = 0
    bytes: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    unparsable: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    unread_bytes: int = 0
    documented: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    pairs: int = 0


class CorpusBuilder:
    """Write the parts of a corpus folder and keep the books; a context manager around the calls of `add`.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.languages: dict[str, LanguageCounts] = {}
        self.files = PartWriter(folder / "files", FILE_COLUMNS)
        self.functions = PartWriter(folder / "functions", FUNCTION_COLUMNS)
        self._seen_files: set[int] = set()
        self._seen_code: dict[int, int] = {}  # digest -> number of the row
        self._units: dict[str, int] = {}  # unit -> its number, in order of appearance
        self._row_units: list[int] = []  # row -> number of its unit
        self._shared: set[int] = set()  # rows whose code also stands in another unit

    def __enter__(self) -> "CorpusBuilder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.files.__exit__(kind, error, trace)
        self.functions.__exit__(kind, error, trace)

    def add(self, outcome: "Outcome") -> None:
        """Take in one file."""
        file, extracted = outcome.file, outcome.extracted
        counts = self.languages.setdefault(file.language, LanguageCounts())
        if outcome.skipped:
            counts.skipped[outcome.skipped] += 1
            return
        text_digest, *code_digests = outcome.digests
        if text_digest in self._seen_files:
            counts.skipped["duplicate"] += 1
            return
        self._seen_files.add(text_digest)
        origin = {"language": file.language, "path": file.path, "licence": file.licence, "unit": file.unit}
        self.files.write({"text": outcome.text, **origin})
        counts.files += 1
        counts.bytes += outcome.size
        counts.unread += extracted.unread
        counts.unread_bytes += extracted.unread_bytes
        counts.documented += extracted.documented
        counts.rejected += extracted.rejected
        if extracted.unparsable:
            counts.unparsable[extracted.unparsable] += 1
        unit = self._units.setdefault(file.unit, len(self._units))
        for row, digest in zip(extracted.rows, code_digests, strict=True):
            first = self._seen_code.setdefault(digest, self.functions.rows)
            if first == self.functions.rows:
                self._row_units.append(unit)
                self.functions.write({**row, **origin})
                counts.pairs += 1
            else:
                counts.duplicates += 1
                if self._row_units[first] != unit:
                    self._shared.add(first)

    def finish(self, skipped: Counts, share: float, minimum: int, seed: int) -> dict[str, Any]:
        """Choose the held-out units and write what is still missing, once the context is left.

        Args:
            skipped: the files that never came to `add`.
            share: share of the pairs to hold out.
            minimum: number of pairs to hold out.
            seed: seed of the choice.

        Returns:
            What `report.json` holds.

        Raises:
            ValueError: too few pairs for two splits.
        """
        own = Counter(unit for row, unit in enumerate(self._row_units) if row not in self._shared)
        held_out = choose_held_out({name: own[unit] for name, unit in self._units.items()}, share, minimum, seed)
        shared = self._remove_shared(frozenset(self._units[name] for name in held_out.units))
        self._write("held_out.json", {"seed": seed, **asdict(held_out)})
        not_selected: Counter[str] = Counter()
        for (language, reason), number in skipped.items():
            if reason == "not_selected":
                not_selected[language] += number
            elif language:
                self.languages.setdefault(language, LanguageCounts()).skipped[reason] += number
        report = {
            "languages": {name: vars(counts) for name, counts in sorted(self.languages.items())},
            "not_selected": dict(not_selected.most_common()),
            "unreadable_folders": skipped["", "unreadable"],
            "skipped_folders": skipped["", "vendored"],
            "held_out": {
                "units": len(held_out.units),
                "pairs": held_out.pairs,
                "wanted": held_out.wanted,
                "left_out_as_also_in_another_unit": shared,
            },
        }
        self._write("report.json", report)
        return report

    def _remove_shared(self, held_out: frozenset[int]) -> int:
        """Take the functions of held-out units that also stand in another unit out of the corpus; how many they are."""
        removed = {row for row in self._shared if self._row_units[row] in held_out}
        if removed:
            old = self.functions.folder.rename(self.folder / "functions.old")
            with PartWriter(self.folder / "functions", FUNCTION_COLUMNS) as writer:
                for number, row in enumerate(read_parts(old)):
                    if number in removed:
                        self.languages[row["language"]].pairs -= 1
                    else:
                        writer.write(row)
            shutil.rmtree(old)
        return len(removed)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
