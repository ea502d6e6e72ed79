"""The whole way in one command: source code in, trained, evaluated and exported encoder out.

Contract: every step is another command's `main(config)`, with the settings of `recipes/quickstart.yaml` and what the
user changes in them; its result lies in its own folder below `--output`. After both stages from scratch, which are the
method, the released model is fine-tuned on the same pairs with the loss of Stage II, and the better one of the two is
exported. Started again, the quickstart resumes after the last finished step. A config that exists has valid settings
for every step.

Invariant: no step sees held-out modules but the evaluation; the figures at the end are those that the evaluation wrote.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .common.config import ConfigError, make_config, merge, read_recipe
from .common.console import say
from .common.markdown import table
from .common.output import RESULTS, owned
from .common.steps import Steps
from .corpus.extract import ExtractConfig
from .evaluation.config import EvaluateConfig
from .evaluation.results import value_of
from .release.config import ExportConfig
from .retrieval.task import ALL
from .search.released import RELEASED, released_model
from .stages.configs import ContrastConfig, FinetuneConfig, PretrainConfig, TokenizerConfig

RECIPE = Path(__file__).parent / "recipes" / "quickstart.yaml"


@dataclass(frozen=True)
class QuickstartConfig:
    """Train a small encoder on real source code in two stages, tune the released one, and export and use the better.

    Attributes:
        source: folders of source code; the standard library of the running Python if neither this nor dataset is given.
        dataset: Hub id, or a local parquet or jsonl file with the columns of The Stack (content, lang), streamed.
        output: folder for everything that is made; the model is in the folder of its name.
        languages: languages to take from the source.
        seed: seed of every random choice.
        name: name of the model and of its folder.
        queries: questions to answer with the trained model at the end.
        extract: changed settings of this step, key=value.
        tokenizer: changed settings of this step, key=value.
        pretrain: changed settings of Stage I, key=value, for example steps=200.
        contrast: changed settings of Stage II, key=value.
        tune: changed settings of the fine-tuning of the released model, key=value.
        evaluate: changed settings of this step, key=value.
        export: changed settings of this step, key=value.
    """

    source: tuple[str, ...] = ()
    dataset: str | None = None
    output: Path = Path("open-codesage-quickstart")
    languages: tuple[str, ...] = ("python", "java")
    seed: int = 0
    name: str = "open-codesage-quickstart"
    queries: tuple[str, ...] = (
        "parse a date and time from a string",
        "read compressed data from a file",
        "send a request to a server and return the response",
    )
    extract: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    pretrain: dict[str, Any] = field(default_factory=dict)
    contrast: dict[str, Any] = field(default_factory=dict)
    tune: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = ("corpus", "tokenizer", *TRAINED, "evaluation", "steps")
        if Path(self.name).name != self.name or self.name.startswith(".") or self.name in taken:
            raise ValueError(f"name is {self.name!r}: give a plain name, but none of {', '.join(taken)}")
        _plan(self)  # A step's wrong setting is found before the first step.


TRAINED = ("untrained", "stage1", "stage2", "tuned")
"""The models that are made, each in a folder of its name."""

TITLES = {
    "untrained": "untrained",
    "stage1": "after Stage I",
    "stage2": "after Stage II",
    "released": f"{RELEASED}, as it is",
    "tuned": f"{RELEASED}, fine-tuned",
    "bm25": "BM25",
    "fusion": "BM25 and the fine-tuned one, fused",
}
"""What is measured, in the order of the table, and what the table calls it."""

CANDIDATES = ("stage2", "tuned")
"""Of these the one with the best MRR is exported."""

STEPS = (
    *("extract", "tokenizer", "untrained", "pretrain", "contrast", "tune"),
    *(f"evaluate-{name}" for name in TITLES),
    "export",
)

_BEGAN = f"The model began as {RELEASED}, whose own card tells what that was trained on; then came:"

FUNCTIONS_SHOWN = 5
_SIGNATURE_LENGTH = 90

# Runs in an interpreter of its own. `sys.modules[name] = None` makes every import of that name fail.
_REOPEN = """
import json, sys
sys.modules["open_codesage"] = None
import torch
folder, texts = sys.argv[2], json.loads(sys.argv[3])
if sys.argv[1] == "AutoModel":
    from transformers import AutoModel, AutoTokenizer
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        embeddings = torch.nn.functional.normalize(model(**batch).pooler_output)
else:
    from sentence_transformers import SentenceTransformer
    embeddings = SentenceTransformer(folder, trust_remote_code=True).encode(texts, convert_to_tensor=True)
print(json.dumps(embeddings.tolist()))
"""


class _Plan(NamedTuple):
    """The settings of every step."""

    extract: ExtractConfig
    tokenizer: TokenizerConfig
    untrained: PretrainConfig
    pretrain: PretrainConfig
    contrast: ContrastConfig
    tune: FinetuneConfig
    evaluate: dict[str, EvaluateConfig]
    figures: dict[str, Path]
    export: dict[str, ExportConfig]


def _plan(config: QuickstartConfig) -> _Plan:
    """Make the settings of every step out of the recipe and what the user changes.

    Raises:
        ConfigError: a step's settings are wrong; step and option are named.
    """
    out = config.output.absolute()
    corpus, vocabulary = out / "corpus", out / "tokenizer"
    models = {name: out / name for name in TRAINED}
    recipe = read_recipe(RECIPE)

    def settings(cls: type[Any], section: str, **fixed: Any) -> Any:
        given = getattr(config, section)
        if taken := sorted(given.keys() & fixed.keys()):
            raise ConfigError(f"{section}: {', '.join(taken)} is set by the quickstart's own options")
        return make_config(cls, merge(recipe[section], given) | fixed, section)

    source = {"source": config.source, "dataset": config.dataset, "languages": config.languages, "seed": config.seed}
    base = {"corpus": corpus, "seed": config.seed}
    released = released_model()
    subjects = models | {"released": released, "bm25": "bm25", "fusion": f"bm25+{models['tuned']}"}
    figures = {name: out / "evaluation" / name / RESULTS for name in TITLES}
    stage_one = settings(PretrainConfig, "pretrain", tokenizer=vocabulary, output=models["stage1"], **base)
    tune = settings(
        FinetuneConfig,
        "tune",
        model=released,
        data=str(corpus),
        task="retrieval",
        output=models["tuned"],
        seed=config.seed,
    )
    measurements = {
        name: settings(
            EvaluateConfig, "evaluate", models=(str(subjects[name]),), tasks=(str(corpus),), output=file.parent
        )
        for name, file in figures.items()
    }
    for name in ("released", "tuned", "fusion"):  # Every model is shown as much as it was trained with.
        measurements[name] = dataclasses.replace(measurements[name], max_length=None)
    exports = {
        name: settings(
            ExportConfig,
            "export",
            model=models[name],
            output=out / config.name,
            name=config.name,
            corpus=corpus,
            metrics=(figures[name],),
            baselines=tuple(file for other, file in figures.items() if other != name),
            **({"stage_one": models["stage1"]} if name == "stage2" else {}),
        )
        for name in CANDIDATES
    }
    if exports["tuned"].data is None:
        exports["tuned"] = dataclasses.replace(exports["tuned"], data=_BEGAN)
    return _Plan(
        settings(ExtractConfig, "extract", output=corpus, **source),
        settings(TokenizerConfig, "tokenizer", corpus=corpus, output=vocabulary),
        dataclasses.replace(stage_one, output=models["untrained"], steps=0, epochs=None),
        stage_one,
        settings(ContrastConfig, "contrast", model=models["stage1"], output=models["stage2"], **base),
        tune,
        measurements,
        figures,
        exports,
    )


def main(config: QuickstartConfig) -> Path:
    """Run every step that has not finished yet.

    Returns:
        The exported Hub folder.

    Raises:
        ValueError: the source cannot be used, or another process is writing the output; the message says what to do.
    """
    begin = time.perf_counter()
    plan = _plan(config)
    with owned(config.output):
        hub_folder = _run(config, plan)
    corpus = plan.extract.output
    _reopen(hub_folder, list(config.queries))
    _answer(hub_folder, corpus, list(config.queries))
    say(_table(_results(plan), corpus.name, seen=not (config.source or config.dataset)))
    say(f"\n{time.perf_counter() - begin:.0f} s in all{_most_memory()}.\nThe model: {hub_folder}")
    return hub_folder


def _run(config: QuickstartConfig, plan: _Plan) -> Path:
    from .corpus import extract
    from .evaluation import evaluate
    from .release import export
    from .stages import contrast, finetune, pretrain, tokenizer

    steps = Steps(config.output, STEPS)
    steps.run("extract", plan.extract, extract.main)
    steps.run("tokenizer", plan.tokenizer, tokenizer.main)
    steps.run("untrained", plan.untrained, pretrain.main)
    steps.run("pretrain", plan.pretrain, pretrain.main)
    steps.run("contrast", plan.contrast, contrast.main)
    steps.run("tune", plan.tune, finetune.main)
    for name, measurement in plan.evaluate.items():
        steps.run(f"evaluate-{name}", measurement, evaluate.main)
    best = _best(_results(plan), plan.extract.output.name)
    steps.run("export", plan.export[best], export.main)
    return plan.export[best].output


def _results(plan: _Plan) -> dict[str, dict[str, Any]]:
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in plan.figures.items()}


def _figure(results: dict[str, dict[str, Any]], name: str, task: str, metric: str) -> float:
    (model,) = results[name]["models"]
    return value_of(results[name], model=model, task=task, metric=metric)


def _best(results: dict[str, dict[str, Any]], task: str) -> str:
    return max(CANDIDATES, key=lambda name: _figure(results, name, task, "mrr"))


def _most_memory() -> str:
    """The most memory that this process or one that it started has held, in words; nothing where none can tell."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    here, there = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f", at most {here / unit:.1f} GiB of memory in this process and {there / unit:.1f} in one that it started"


def _reopen(folder: Path, texts: list[str]) -> None:
    """Open the exported folder by both classes, each in a fresh interpreter without open_codesage, and compare.

    Raises:
        ValueError: the folder does not open, or the embeddings differ.
    """
    import torch

    embeddings = []
    for way in ("AutoModel", "SentenceTransformer"):
        result = subprocess.run(
            [sys.executable, "-c", _REOPEN, way, str(folder), json.dumps(texts)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        if result.returncode:
            raise ValueError(f"{folder} does not open through {way} in a fresh interpreter:\n{result.stderr[-2000:]}")
        embeddings.append(torch.tensor(json.loads(result.stdout.splitlines()[-1])))
        say(f"[reopen] {way} opens the folder in a fresh interpreter, without open_codesage")
    difference = float((embeddings[0] - embeddings[1]).abs().max())
    if difference > 1e-5:
        raise ValueError(f"{folder}: embeddings of AutoModel and SentenceTransformer differ by {difference:.1e}")
    say(f"[reopen] both give the same embeddings (largest difference {difference:.1e})")


def _answer(folder: Path, corpus: Path, queries: list[str]) -> None:
    """Print the best functions of the whole corpus for each query, found by the exported model."""
    from .corpus.corpus import Corpus
    from .retrieval.encoder import Encoder
    from .retrieval.ranking import rank_functions
    from .retrieval.signature import signature

    functions = [row for split in ("train", "held_out") for row in Corpus(corpus).functions(split)]
    encoder = Encoder(str(folder), batch_size=64, max_length=None)
    embeddings = encoder.documents([row["code"] for row in functions])
    say(f"\n{len(functions):,} functions, searched with the exported model:")
    for query, embedding in zip(queries, encoder.queries(queries), strict=True):
        say(f"\n{query}")
        for number, score in rank_functions(embeddings, embedding, FUNCTIONS_SHOWN):
            row = functions[number]
            say(f"  {score:.3f}  {row['path']}:{row['start_line']}  {signature(row['code'])[:_SIGNATURE_LENGTH]}")


def _table(results: dict[str, dict[str, Any]], task: str, seen: bool) -> str:
    """The metrics of all models on the search among held-out functions, as Markdown.

    Args:
        results: what `evaluate` wrote, by the keys of `TITLES`.
        task: the set.
        seen: whether the source is one that the released model was trained on.
    """
    facts = next(iter(results.values()))["tasks"][task]
    metrics = ("mrr", "recall@10")
    lines = [f"\nSearch of {facts['documents']} held-out functions with {facts['queries']} summaries, in percent:\n"]
    lines += table(
        ["model", *metrics],
        [[title, *(f"{_figure(results, name, task, m):.1f}" for m in metrics)] for name, title in TITLES.items()],
    )
    final, untrained = (_figure(results, name, task, "mrr") for name in ("stage2", "untrained"))
    chance = facts["parts"]["full"][ALL]["chance_mrr"]
    lines.append(
        f"\nFrom scratch, the MRR after Stage II is {final / untrained:.1f} times that of the untrained model, "
        f"{final / chance:.1f} times that of a random order ({chance:.2f})."
    )
    if seen:
        lines.append(
            f"{RELEASED} was trained on the standard library of Python, so its rows flatter it here: give --source DIR "
            "for code that it has not seen."
        )
    best = _best(results, task)
    lines.append(f"Exported is the better model of two, by these figures: {TITLES[best]}.")
    return "\n".join(lines)
