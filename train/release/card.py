"""The model card: metadata and text of a released encoder, out of the records that the steps have written.

Contract: `model_card` fills `model_cards/template.md`. Every figure of the card is read from a record: the corpus
folder, `training.json` of the stages, `results.json` of the evaluations, the encoder's config.

Invariant: what was not recorded is said to be "not recorded". No figure is written by hand, except in
the exporter's notes.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.dataset
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..common import markdown
from ..common.identity import folder_hash
from ..common.static_model import is_static
from ..common.untrusted import read_object
from ..corpus.corpus import Corpus
from ..evaluation.cosines import percentiles
from ..evaluation.report import published_beside
from ..evaluation.results import PROTOCOLS, SHOWN, read_results, sizes
from ..retrieval.task import ALL

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from .config import ExportConfig

TRAINING_RECORD = "training.json"
STAGES = {"Stage I": "masked language modelling and identifier deobfuscation", "Stage II": "contrastive learning"}
DISTILLATION = "Distillation: the similarities that a teacher sees, and contrastive learning on pairs"
TUNING = "Fine-tuning: contrastive learning on pairs of text and answer"
RUN_FACTS = ("teacher", "steps", "tokens", "pairs", "seconds", "devices", "device", "collapse")
TAGS = ("sentence-transformers", "transformers", "feature-extraction", "code", "code-search", "codesage", "custom_code")
STATIC_TAGS = ("static-embeddings", "model2vec")


@dataclass(frozen=True)
class Evaluation:
    """One model on one task by one protocol, out of a `results.json`.

    Attributes:
        model: its name.
        hash: of the model.
        task: name of the task, and the protocol in words.
        data: hash of the task.
        sizes: how much of what was measured on, in words.
        is_search: or else it is classification.
        metrics: figures in percent.
        published: figures of others under the same protocol, by model.
        cosines: of pairs that belong together and of random pairs, see `cosines.py`; None if not recorded.
    """

    model: str
    hash: str
    task: str
    data: str
    sizes: str
    is_search: bool
    metrics: dict[str, float]
    published: dict[str, dict[str, float]]
    cosines: dict[str, Any] | None

    @classmethod
    def read(cls, path: Path) -> "list[Evaluation]":
        """Read the record that `open-codesage evaluate` writes.

        Raises:
            ValueError: the file cannot be read or lacks a field.
        """
        record = read_results(path)
        try:
            figures: dict[tuple[str, str, str], dict[str, float]] = {}
            for row in record["rows"]:
                if row["part"] == ALL and row["metric"] in SHOWN:
                    group = figures.setdefault((row["model"], row["task"], row["protocol"]), {})
                    group[row["metric"]] = float(row["value"])
            if not all(math.isfinite(value) for group in figures.values() for value in group.values()):
                raise ValueError("metrics that are no finite numbers")
            cosines = {(row["model"], row["task"]): row for row in record.get("cosines", ())}
            return [
                cls(
                    model=_label(str(model)),
                    hash=str(record["models"][model]["hash"]),
                    task=f"{task}, {PROTOCOLS.get(protocol, protocol)}",
                    data=str(record["tasks"][task].get("hash")),
                    sizes=sizes(record["tasks"][task]),
                    is_search=record["tasks"][task]["layout"] != "classification",
                    metrics=group,
                    published=published_beside(record, task, protocol, ALL, group),
                    cosines=cosines.get((model, task)),
                )
                for (model, task, protocol), group in figures.items()
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} is no results.json of `open-codesage evaluate`: {type(error).__name__} at {error}"
            ) from error


def _read_ours(path: Path, model: Path) -> "tuple[list[Evaluation], list[Evaluation]]":
    """The evaluations of the model that is exported, and those of the others in the same file.

    Raises:
        ValueError: the file holds several models, and none of them is this one.
    """
    found = Evaluation.read(path)
    if len({evaluation.model for evaluation in found}) <= 1:
        return found, []
    own = folder_hash(model)
    ours = [evaluation for evaluation in found if evaluation.hash == own]
    if not ours:
        raise ValueError(f"{path} holds several models, and none of them is {model}: evaluate that alone, or again")
    return ours, [evaluation for evaluation in found if evaluation.hash != own]


class Description(NamedTuple):
    """What a card tells about a native encoder.

    Attributes:
        architecture: class of transformers.
        pooling: names of pooling modes, such as `mean`.
        normalizes: whether embeddings have length 1.
        prompts: texts put before inputs, by name; the empty ones are left out.
        base_license: license of the model that it began with.
    """

    architecture: str
    pooling: tuple[str, ...]
    normalizes: bool
    prompts: dict[str, str]
    base_license: str


def model_card(
    config: "ExportConfig",
    encoder: "PreTrainedConfig",
    parameters: int,
    max_length: int,
    converted_from: str | None = None,
    special_tokens_as_text: bool = True,
    native: Description | None = None,
) -> ModelCard:
    """Fill the template, `template.md` or that of encoders whose code is part of transformers.

    Args:
        config: what is exported, and which records tell about it.
        encoder: the encoder's sizes.
        parameters: number of the encoder's parameters.
        max_length: longest input in tokens, EOS included.
        converted_from: the published checkpoint that the model is, in another form; None: it was trained here.
        special_tokens_as_text: whether the tokenizer takes the name of a special token in a text as text.
        native: what else is told about an encoder whose code is part of transformers.

    Raises:
        ValueError: a record cannot be read; the message names it.
    """
    ours, others = [], [evaluation for path in config.baselines for evaluation in Evaluation.read(path)]
    for path in config.metrics:
        own, beside = _read_ours(path, config.model)
        ours += own
        others += beside
    corpus = _corpus_facts(config)
    title, static = config.model_id.rpartition("/")[2], is_static(config.model)
    languages = [row["name"] for row in corpus["languages"]] if corpus else list(config.languages)
    results = [result for evaluation in ours for result in _model_index(evaluation)]
    metadata = ModelCardData(
        language=["code", "en"],
        license=config.license,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=[*(tag for tag in TAGS if native is None or tag != "custom_code"), *STATIC_TAGS * static, *languages],
        datasets=list(config.datasets) or None,
        base_model=converted_from or config.base_model,
        base_model_relation="finetune" if native else None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return ModelCard.from_template(
        metadata,
        template_str=resources.files("open_codesage.model_cards")
        .joinpath("native.md" if native else "template.md")
        .read_text(encoding="utf-8"),
        native=native,
        by_hand=native.pooling[0] if native and native.pooling in (("mean",), ("cls",)) else None,
        name=config.model_id,
        title=title,
        license=config.license,
        base_model=config.base_model,
        converted_from=converted_from,
        dtype="float16" if static else config.dtype,
        static=static,
        onnx=config.onnx,
        int8=config.int8,
        special_tokens_as_text=special_tokens_as_text,
        data=config.data,
        encoder=encoder,
        parameters=parameters,
        max_length=max_length,
        languages=languages,
        corpus=corpus,
        stages=_stages(config),
        results=_tables(title, ours, others),
        cosines=_cosines(ours),
        shorter=_shorter(config, encoder.hidden_size),
        notes=_notes(config.notes),
    )


def _model_index(evaluation: Evaluation) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-retrieval" if evaluation.is_search else "text-classification",
            task_name="Code search" if evaluation.is_search else "Code classification",
            dataset_type=re.sub(r"\W+", "-", evaluation.task.lower()).strip("-"),
            dataset_name=evaluation.task,
            metric_type=metric,
            metric_name=f"{metric} in percent",
            metric_value=round(value, 2),
        )
        for metric, value in evaluation.metrics.items()
    ]


def _tables(title: str, ours: Iterable[Evaluation], others: Iterable[Evaluation]) -> list[dict[str, Any]]:
    """Arrange evaluations by task and protocol; only those on the same data may stand in one table."""
    tables: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for evaluation, label in [*((e, e.model) for e in others), *((e, f"**{title}**") for e in ours)]:
        rows = tables.setdefault((evaluation.task, evaluation.sizes, evaluation.data), {})
        row = rows.setdefault(label, {})
        if twice := row.keys() & evaluation.metrics.keys():
            raise ValueError(
                f"{', '.join(sorted(twice))} of {evaluation.model} was measured twice: give one results.json"
            )
        row |= evaluation.metrics
    for evaluation in ours:
        rows = tables[evaluation.task, evaluation.sizes, evaluation.data]
        rows |= {f"*{model}, published*": figures for model, figures in evaluation.published.items()}
    arranged = []
    for (task, counts, _), rows in tables.items():
        metrics = list(dict.fromkeys(metric for values in rows.values() for metric in values))
        cells = {
            label: [f"{values[metric]:.1f}" if metric in values else "not measured" for metric in metrics]
            for label, values in rows.items()
        }
        arranged.append(
            {
                "task": _cell(task),
                "sizes": _cell(counts),
                "metrics": [metric.upper() if metric == "mrr" else metric for metric in metrics],
                "rows": [{"model": _cell(label), "cells": row} for label, row in cells.items()],
            }
        )
    return arranged


def _cosines(ours: Iterable[Evaluation]) -> list[dict[str, str]]:
    """How cosines are distributed on each task: percentiles of pairs that belong together, and of random ones."""
    rows = {}
    for evaluation in ours:
        if evaluation.cosines is not None:
            task = evaluation.cosines["task"]
            rows[task] = {"task": _cell(task)} | {
                kind: " / ".join(f"{value:.2f}" for value in percentiles(evaluation.cosines, kind))
                for kind in ("parallel", "random")
            }
    return list(rows.values())


def _label(text: str) -> str:
    """Shorten a path to its last part: a card tells nothing about the machine that it was written on."""
    return Path(text).name if Path(text).is_absolute() else text


def _cell(value: Any) -> str:
    """Put a value of a record into a cell of a Markdown table."""
    return markdown.cell(_label(str(value)))


def _stages(config: "ExportConfig") -> list[dict[str, Any]]:
    """Collect what `training.json` of either stage tells, or of the distillation into a static model."""
    if is_static(config.model):
        record = config.model / TRAINING_RECORD
        settings = _training_facts(record) if record.is_file() else None
        return [{"title": TUNING if "task" in (settings or {}) else DISTILLATION, "settings": settings, "skipped": ""}]
    second = (config.model / "modules.json").is_file()
    folders = {"Stage I": config.stage_one if second else config.model, "Stage II": config.model if second else None}
    stages = []
    for stage, purpose in STAGES.items():
        folder = folders[stage]
        path = folder / TRAINING_RECORD if folder else None
        settings = _training_facts(path) if path and path.is_file() else None
        skipped = ""
        if second and stage == "Stage I" and (settings or {}).get("steps") == "0":
            settings, skipped = None, "Stage II began with new weights"
        elif stage == "Stage II" and not second and (config.model / TRAINING_RECORD).is_file():
            skipped = "this is the encoder after Stage I"
        stages.append(
            {
                "title": f"{stage}: {purpose}" if "task" not in (settings or {}) else TUNING,
                "settings": settings,
                "skipped": skipped,
            }
        )
    return stages


def _shorter(config: "ExportConfig", width: int) -> list[int]:
    """Dimensions to which embeddings were trained to be cut."""
    path = config.model / TRAINING_RECORD
    settings = read_object(path).get("settings") if path.is_file() else None
    dims = settings.get("matryoshka_dims") if isinstance(settings, dict) else None
    return sorted({int(dim) for dim in dims or () if int(dim) < width}, reverse=True)


def _notes(path: Path | None) -> str:
    """Read the section that a person wrote.

    Raises:
        ValueError: there is no such text.
    """
    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as notes for the card: {error}") from error


def _training_facts(path: Path) -> dict[str, str]:
    record = read_object(path)
    settings = record.get("settings")
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is no training.json of a stage: it lacks the settings")
    facts = {}
    for key, value in [*settings.items(), *((key, record.get(key)) for key in RUN_FACTS)]:
        if isinstance(value, dict):
            value = ", ".join(f"{name}={_label(str(inner))}" for name, inner in value.items())
        if value not in (None, "", [], ()):
            measured = key in RUN_FACTS and isinstance(value, int | float)
            facts[key.replace("_", " ")] = f"{value:,.0f}" if measured else _cell(value)
    return facts


def tuning_facts(folder: Path) -> dict[str, Any] | None:
    """What the record of `finetune` tells for a card: `settings`, and `metrics` by rows and model; None without one.

    Raises:
        ValueError: the record cannot be read.
    """
    path = folder / TRAINING_RECORD
    if not path.is_file():
        return None
    return {"settings": _training_facts(path), "metrics": read_object(path).get("metrics", {})}


def _corpus_facts(config: "ExportConfig") -> dict[str, Any] | None:
    """Count files, pairs and licenses that were trained on; what was held out does not count."""
    if config.corpus is None:
        return None
    held_out = Corpus(config.corpus).held_out_units
    files, pairs = (_training_rows(config.corpus / kind, held_out) for kind in ("files", "functions"))
    languages = config.languages or sorted({language for language, _ in files})
    licenses: Counter[str] = Counter()
    for (language, license), count in files.items():
        if language in languages:
            licenses[license or "not recorded"] += count
    return {
        "languages": [
            {
                "name": language,
                "files": sum(count for (name, _), count in files.items() if name == language),
                "pairs": sum(count for (name, _), count in pairs.items() if name == language),
            }
            for language in languages
        ],
        "licenses": [f"{_cell(license)} ({count:,} files)" for license, count in licenses.most_common()],
    }


def _training_rows(folder: Path, held_out: frozenset[str]) -> Counter[tuple[str, str | None]]:
    """Count the rows of a Parquet folder outside the held-out units, by language and license."""
    rows = pyarrow.dataset.dataset(folder).to_table(
        columns=["language", "licence"], filter=~pyarrow.dataset.field("unit").isin(sorted(held_out))
    )
    groups = rows.group_by(["language", "licence"]).aggregate([([], "count_all")]).to_pylist()
    return Counter({(group["language"], group["licence"]): group["count_all"] for group in groups})
