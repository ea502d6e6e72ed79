"""The settings of `evaluate`, checked when they are made.

Importing this module loads neither torch nor transformers.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from open_codesage.tokenization.languages import resolve_language

from ..common.checks import require_range, require_some


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure models side by side: search and classification, figures in percent.

    Attributes:
        models: folders or Hub ids that SentenceTransformer or AutoModel opens, bm25, or bm25+MODEL for the fusion of
            both rankings.
        tasks: search sets (BEIR layout, a folder or a dataset of the Hub), folders of classification sets, corpora of
            extract, folders of such, or mteb:NAME.
        output: folder to write results.json, tables and plots to; it must not exist yet. Nothing is written if none.
        cache: folder for embeddings, used and kept; if none they lie beside the output until that is written.
        languages: search among documents of these languages only; all if none.
        batch_size: texts per batch.
        max_length: longest input in tokens, cut beyond; what the model was made for if none.
        query_max_length: the same for queries only.
        preset: the paper's protocol: paper (input lengths and comments by what is searched with), or exactly that of
            cosqa, advtest, codesearchnet or code2code.
        remove_comments: search in code without comments, white space folded.
        cutoff: depth of NDCG, and of recall besides 1, 5, 10, 50 and 100.
        depth: a document that is ranked lower counts as not found.
        classification: how classes are learnt: linear (on the frozen encoder), full or lora (fine-tuning).
        seeds: seeds of the trainings on classification sets.
        expected: results.json of an earlier run, such as the one in a released model's folder: what was measured again
            of the first model must agree.
        tolerance: by how many points of percent at most it may differ.
    """

    positional: ClassVar[tuple[str, ...]] = ("models",)
    free: ClassVar[tuple[str, ...]] = ("models", "tasks", "output", "cache", "expected", "tolerance")

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    output: Path | None = None
    cache: Path | None = None
    languages: tuple[str, ...] = ()
    batch_size: int = 64
    max_length: int | None = None
    query_max_length: int | None = None
    preset: Literal["paper", "cosqa", "advtest", "codesearchnet", "code2code"] | None = None
    remove_comments: bool = False
    cutoff: int = 10
    depth: int = 1000
    classification: tuple[Literal["linear", "full", "lora"], ...] = ("linear",)
    seeds: tuple[int, ...] = (0, 1, 2)
    expected: Path | None = None
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(_language, self.languages))))
        require_some(self, "models", "tasks", "classification", "seeds")
        require_range(self, "batch_size", "max_length", "query_max_length", "cutoff", "depth", at_least=1)
        require_range(self, "tolerance", at_least=0)
        if self.cutoff > self.depth:
            raise ValueError(f"cutoff is {self.cutoff}, beyond the depth of {self.depth}: give a smaller one")


def _language(name: str) -> str:
    """The table's name of a language, or the name itself: sets may have languages that the table lacks."""
    with contextlib.suppress(ValueError):
        return resolve_language(name)
    return name.strip().lower()
