"""Average: the weights of one model in the middle of several, and how good it is along the way.

Contract: `main(config)` writes a folder like that of the first model with the mean of all models' weights, and
`average.json`, which says what was averaged. With two models, one trained from the other, that is WiSE-FT (Wortsman et
al., CVPR 2022), which keeps what the first could do and most of what the second has learnt; with several that started
alike, a model soup (Wortsman et al., ICML 2022). With tasks it measures the models between the two ends, too.

Invariants: models of different architectures, tokenizers or modules are refused, since the mean of their weights means
nothing. The mean is computed in float32 and stored in the first model's format. The folder is there whole, or not at
all.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_codesage.modeling  # noqa: F401 (registers our config with AutoConfig)
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from ..common.console import say
from ..common.identity import folder_hash
from ..common.model_folder import require_safetensors
from ..common.model_layout import CONFIG, MODULES
from ..common.model_tokenizer import TOKENIZER_BYTES
from ..common.output import new_folder, write_json
from ..common.untrusted import read_json, read_object
from ..evaluation.config import EvaluateConfig
from ..evaluation.evaluate import main as evaluate
from ..evaluation.results import SHOWN
from ..retrieval.task import ALL
from .config import AverageConfig

RECORD = "average.json"

TOKENIZER = "tokenizer.json"

# Of a config, what says nothing about the weights; of a tokenizer, what the last call has left.
_OF_THE_FILE = re.compile("_name_or_path|architectures|(torch_)?dtype|transformers_version|use_cache|.*dropout.*")
_OF_THE_CALL = re.compile("truncation|padding")


def main(config: AverageConfig) -> Path:
    """Write the mean of some models.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: a model cannot be opened, does not fit the first one, or the output is there already.
    """
    require_same_kind(config.models)
    shares = _shares(config)
    curve = _curve(config) if config.tasks else []
    with new_folder(config.output) as folder:
        average(config.models, shares, folder)
        parts = [
            {"model": model.name, "hash": folder_hash(model), "share": share}
            for model, share in zip(config.models, shares, strict=True)
        ]
        write_json(folder / RECORD, {"models": parts, "curve": curve})
    told = ", ".join(f"{share:.0%} {model}" for model, share in zip(config.models, shares, strict=True))
    say(f"Average: {told}, {config.output}")
    return config.output


def require_same_kind(models: Sequence[Path]) -> None:
    """Refuse models whose weights cannot be averaged.

    Raises:
        ValueError: a folder is no sound model, or differs from the first one in its config, tokenizer, modules or
            tensors; the message names the file and the first difference.
    """
    for model in models:
        require_safetensors(model)
    first = models[0]
    for other in models[1:]:
        for name in (CONFIG, TOKENIZER, MODULES):
            if difference := _difference(_described(first / name), _described(other / name)):
                raise ValueError(
                    f"{first / name} and {other / name} differ in {difference}: only models of one architecture and "
                    "tokenizer can be averaged"
                )
        if (found := _weight_files(first)) != _weight_files(other):
            raise ValueError(f"{other} does not have the weight files of {first}: {', '.join(map(str, found))}")


def average(models: Sequence[Path], shares: Sequence[float], folder: Path) -> None:
    """Write the mean of models of one kind to a folder, with all other files as the first one has them.

    Args:
        models: model folders, see `require_same_kind`.
        shares: what each counts; they sum to one.
        folder: an empty folder.

    Raises:
        ValueError: the tensors of a model are not those of the first.
    """
    first = models[0]
    shutil.copytree(first, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    for file in _weight_files(first):
        stored = load_file(first / file)
        total = {name: shares[0] * tensor.float() for name, tensor in stored.items()}
        for model, share in zip(models[1:], shares[1:], strict=True):
            others = load_file(model / file)
            _require_same_tensors(first / file, stored, model / file, others)
            for name, tensor in others.items():
                total[name] += share * tensor.float()
        averaged = {name: mean.to(stored[name].dtype) for name, mean in total.items()}
        save_file(averaged, folder / file, metadata={"format": "pt"})


def _shares(config: AverageConfig) -> list[float]:
    count = len(config.models)
    return [1 / count] * count if config.share is None else [config.share, 1 - config.share]


def _curve(config: AverageConfig) -> list[dict[str, Any]]:
    """Measure the models between two ends: a row for each share of the first, task and protocol."""
    rows: list[dict[str, Any]] = []
    for share in config.curve:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            average(config.models, [share, 1 - share], folder)
            results = evaluate(
                EvaluateConfig(
                    models=(str(folder),),
                    tasks=config.tasks,
                    batch_size=config.batch_size,
                    max_length=config.max_length,
                )
            )
        figures: dict[tuple[str, str], dict[str, float]] = {}
        for row in results["rows"]:
            if row["part"] == ALL and row["metric"] in SHOWN:
                figures.setdefault((row["task"], row["protocol"]), {})[row["metric"]] = row["value"]
        for (task, protocol), found in figures.items():
            rows.append({"share": share, "task": task, "protocol": protocol, **found})
            say(f"Average: share {share:g}, {task}, {protocol}: {_told(found)}")
    return rows


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{metric} {value:.2f}" for metric, value in figures.items())


def _described(file: Path) -> Any:
    """What a file says about the model; None if it is not there."""
    if not file.exists():
        return None
    if file.name == MODULES:
        return [(module.get("path"), str(module.get("type")).rpartition(".")[2]) for module in read_json(file)]
    if file.name == TOKENIZER:
        found, left_out = read_object(file, TOKENIZER_BYTES), _OF_THE_CALL
    else:  # By the library, which knows the settings that a file leaves out.
        found, left_out = AutoConfig.from_pretrained(file.parent, local_files_only=True).to_dict(), _OF_THE_FILE
    return {key: value for key, value in found.items() if not left_out.fullmatch(key)}


def _difference(one: Any, other: Any) -> str:
    """Name the first difference of two descriptions, or nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if one.get(key) != other.get(key):
                inner = _difference(one.get(key), other.get(key))
                return f"{key}, {inner}" if isinstance(one.get(key), dict) else f"{key} ({inner})"
        return ""
    return "" if one == other else f"{_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _weight_files(model: Path) -> list[Path]:
    return sorted(path.relative_to(model) for path in model.rglob("*.safetensors"))


def _require_same_tensors(
    first: Path, ours: dict[str, torch.Tensor], other: Path, theirs: dict[str, torch.Tensor]
) -> None:
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise ValueError(f"{first} and {other} do not hold the same tensors: only one has {', '.join(odd[:5])}")
    for name, tensor in ours.items():
        if tensor.shape != theirs[name].shape:
            raise ValueError(
                f"{first} and {other}: {name} has the shapes {list(tensor.shape)} and {list(theirs[name].shape)}"
            )
