"""A smaller corpus out of a large one, so that a grid's many short trainings need not read what they do not use.

Contract: `main(config)` writes a corpus folder with at most so many files and functions of each language, chosen by
chance, and with the held-out units of the original.

Invariant: what is held out in the original is held out here; the same corpus and settings give the same rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from open_codesage.tokenization.languages import resolve_language

from ..common.checks import require_range
from ..common.console import say
from ..common.output import new_folder

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class SampleConfig:
    """Draw a smaller corpus.

    Attributes:
        corpus: folder written by `extract`.
        output: the corpus folder to write; it must not exist yet.
        languages: languages to take; all of the corpus if not given.
        files: most training files of a language; all if none.
        functions: most training functions of a language; all if none.
        held_out: most held-out files, and functions, of a language; all if none.
        seed: seed of the choice.
    """

    corpus: Path
    output: Path
    languages: tuple[str, ...] = ()
    files: int | None = None
    functions: int | None = None
    held_out: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        require_range(self, "files", "functions", "held_out", at_least=1)


def main(config: SampleConfig) -> Path:
    """Draw and write the corpus.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the output is there already, or the corpus is missing or damaged, or lacks a language.
    """
    from .corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter

    corpus = Corpus(config.corpus)
    languages = config.languages or None
    with new_folder(config.output) as folder:
        written = {}
        for name, columns, read, most in (
            ("files", FILE_COLUMNS, corpus.files, config.files),
            ("functions", FUNCTION_COLUMNS, corpus.functions, config.functions),
        ):
            with PartWriter(folder / name, columns) as writer:
                for rows in (
                    _some(read("train", languages), most, config.seed),
                    _some(read("held_out", languages), config.held_out, config.seed),
                ):
                    for row in rows.select_columns(list(columns)):
                        writer.write(row)
            written[name] = writer.rows
        held_out = {"units": sorted(corpus.held_out_units)}
        (folder / "held_out.json").write_text(json.dumps(held_out) + "\n", encoding="utf-8")
    files, functions = written["files"], written["functions"]
    say(f"sample: {files:,} files and {functions:,} functions of {config.corpus} -> {config.output}")
    return config.output


def _some(rows: "datasets.Dataset", most: int | None, seed: int) -> "datasets.Dataset":
    """At most so many rows of each language, in the order of the dataset."""
    import numpy as np

    from ..common.randomness import permutation
    from .mixture import rows_by_language

    if most is None:
        return rows
    chosen = [own[permutation(seed, len(own))[:most]] for own in rows_by_language(rows)]
    return rows.select(np.sort(np.concatenate(chosen))) if chosen else rows
