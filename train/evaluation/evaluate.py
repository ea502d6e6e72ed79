"""Measure models side by side on search and classification sets.

Contract: `main(config)` measures every model on every task and returns what `results.json` holds. Models are folders or
Hub ids for sentence-transformers or `AutoModel`, or "bm25"; tasks are what `catalogue.find_tasks` knows.

Invariants: of the corpora of this package only held-out functions are used, so no training step of this package has
seen them. A run that was interrupted goes on where it was; the output is there whole, or not at all.
"""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from open_codesage.tokenization.languages import resolve_language

from ..console import say
from ..data.folders import new_folder

if TYPE_CHECKING:
    from .store import Store
    from .subjects import Subject

TABLES = "results.md"


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure models side by side: search and classification, figures in percent.

    Attributes:
        models: folders or Hub ids that SentenceTransformer or AutoModel opens, or bm25.
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
        for name in ("models", "tasks"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: name at least one")
        for name in ("batch_size", "max_length", "query_max_length", "cutoff", "depth"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")
        if self.cutoff > self.depth:
            raise ValueError(f"cutoff is {self.cutoff}, beyond the depth of {self.depth}: give a smaller one")


def _language(name: str) -> str:
    """The table's name of a language, or the name itself: sets may have languages that the table lacks."""
    with contextlib.suppress(ValueError):
        return resolve_language(name)
    return name.strip().lower()


def main(config: EvaluateConfig) -> dict[str, Any]:
    """Measure every model on every task.

    Returns:
        What `results.json` holds, see `results.py`.

    Raises:
        ValueError: a task or a model is missing or malformed, or the output is there already; nothing is written. Or
            figures differ from the expected ones; the output is written.
    """
    from .catalogue import describe, find_tasks
    from .expectation import compare
    from .identity import package_versions
    from .presets import with_preset
    from .results import SCHEMA, read_results, rows_of
    from .runs import measure
    from .store import Store
    from .tasks import Task

    if config.output is not None and config.output.exists() and any(config.output.iterdir()):
        raise ValueError(f"{config.output} is already there: remove it, or choose another output folder")
    expected = {} if config.expected is None else read_results(config.expected)
    tasks = find_tasks(config.tasks, config.languages)
    if config.preset not in (None, "paper"):
        tasks = [with_preset(task, config.preset) if isinstance(task, Task) else task for task in tasks]
    facts = {task.name: describe(task) for task in tasks}
    rows: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    cosines: list[dict[str, Any]] = []
    with _working_folder(config) as folder:
        store = Store(folder)
        subjects = _subjects(config, store)
        for subject in subjects:
            for task in tasks:
                found = measure(subject, task, facts[task.name], config, store)
                both = {"model": subject.name, "task": task.name}
                rows += rows_of(**both, figures=found["figures"])
                runs.append(both | found["facts"])
                if found["cosines"]:
                    cosines.append(both | found["cosines"])
                say(_summary(runs[-1], found["figures"]))
            subject.close()
        results = {
            "schema": SCHEMA,
            "models": {subject.name: subject.facts() for subject in subjects},
            "tasks": facts,
            "rows": rows,
            "runs": runs,
            "cosines": cosines,
            "packages": package_versions(),
            "settings": _settings(config),
        }
        if config.output is not None:
            _write(results, config.output)
    if config.expected is not None:
        say(f"evaluate: {compare(results, expected, config.tolerance)}")
    return results


def _subjects(config: EvaluateConfig, store: "Store") -> "list[Subject]":
    """The models in the order given; a name that is no model is found out before anything is measured."""
    from .identity import short_names
    from .subjects import BM25_NAME, Model, Words

    return [
        Words() if source == BM25_NAME else Model(source, name, store, config.batch_size)
        for source, name in zip(config.models, short_names(config.models), strict=True)
    ]


@contextlib.contextmanager
def _working_folder(config: EvaluateConfig) -> Iterator[Path]:
    """The cache, kept; or a folder beside the output, removed when all is done; or one that is always removed."""
    if config.cache is not None:
        yield config.cache
    elif config.output is not None:
        folder = config.output.parent / f"{config.output.name}.run"
        yield folder
        shutil.rmtree(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def _settings(config: EvaluateConfig) -> dict[str, Any]:
    """The settings that decide figures, without paths."""
    left_out = ("models", "tasks", "output", "cache", "expected", "tolerance")
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in left_out}


def _write(results: dict[str, Any], output: Path) -> None:
    from . import plots
    from .report import markdown
    from .results import RESULTS, write_results

    with new_folder(output) as folder:
        write_results(results, folder / RESULTS)
        (folder / TABLES).write_text(markdown(results), encoding="utf-8")
        if find_spec("matplotlib"):
            plots.write(results, folder)
        else:
            say('evaluate: no plots, since matplotlib is not installed: pip install "open-codesage[corpus]"')


def _summary(run: dict[str, Any], figures: dict[str, Any]) -> str:
    from .results import ALL, SHOWN

    shown = []
    for protocol, parts in figures.items():
        values = [f"{metric} {parts[ALL][metric]:.2f}" for metric in SHOWN if metric in parts[ALL]]
        shown.append(f"{protocol} {', '.join(values)}")
    cut = [f"{run[kind]:,} {kind.removesuffix('_cut')}" for kind in run if kind.endswith("_cut") and run[kind]]
    if cut:
        shown.append(f"{', '.join(cut)} were longer than their limit and cut")
    return f"evaluate {run['model']} on {run['task']}: {'; '.join(shown)}"
