"""The weights of a model folder: which files they are, and whether they are what the config declares.

Contract: `weight_files` and `shards` name the files, `stored_shapes` reads a header; `weight_faults` says why a library
could not take the weights of a folder, or would take a pickle for them; `declaration_faults` compares a config with the
headers, on a model without memory; `value_faults` looks for NaN and Inf.

Invariant: no pickle is opened, and what is allocated is bounded by the size of the files.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError

from .model_layout import CONFIG, STATIC, TRANSFORMER, Part
from .untrusted import brief, read_object

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Files that can run code when they are opened."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

PREFIX = "transformer."
TIED_HEAD = "lm_head.weight"

Shapes = Mapping[str, tuple[int, ...]]

LOADING_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError, ImportError),
    SafetensorError,
)
"""What a broken file makes the libraries raise; anything else is a fault of ours and keeps its traceback."""

_ENOUGH = 0.5

_CONVERT = (
    "is a pickle, which can run any code when it is read, and is refused as model weights: "
    "convert it to safetensors with `open-codesage safetensors`, or one of CodeSage's authors with "
    "`open-codesage convert`"
)


def is_pickle(file: Path) -> str:
    """Why a file of weights is refused, and the remedy."""
    return f"{file} {_CONVERT}"


def shards(index: Path) -> list[Path]:
    """List the files that an index of sharded weights names.

    Raises:
        ValueError: the index is malformed, a name leads out of its folder, or a file is missing.
    """
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"{index} is no index of weights: its weight_map has to map names to files")
    for name in set(names.values()):
        if not name or PurePosixPath(name).name != name or "\\" in name:
            raise ValueError(
                f"{index} names {brief(name)}, which is not a file beside it; such a path is never followed"
            )
        if not (index.parent / name).is_file():
            raise ValueError(f"{index} names {name}, which is missing: copy the whole folder again")
    return sorted({index.parent / name for name in names.values()})


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that transformers takes the weights from; none, an empty list.

    Raises:
        ValueError: the index of shards is malformed, see `shards`, or names another file, which would be unpickled.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    files = shards(folder / INDEX) if (folder / INDEX).exists() else []
    if other := [file.name for file in files if file.suffix != ".safetensors"]:
        raise ValueError(f"{folder / INDEX} names {brief(other[0])}, which is no safetensors file: convert it to one")
    return files


def stored_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes out of the header of a safetensors file, and no tensor.

    Raises:
        ValueError: truncated, overlapping or otherwise no safetensors file.
    """
    from safetensors import safe_open

    try:
        with safe_open(file, framework="np") as weights:
            return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is no readable safetensors file ({error}): copy it again") from error


def weight_faults(part: Part, adapter: bool) -> Iterator[str]:
    """Find out why a library could not take the weights of a module from safetensors.

    Args:
        part: the folder and its module.
        adapter: whether it is an adapter, whose base lies elsewhere.
    """
    if adapter and part.module == TRANSFORMER:
        if not (part.folder / ADAPTER_WEIGHTS).is_file():
            pickle = part.folder / "adapter_model.bin"
            yield is_pickle(pickle) if pickle.exists() else f"{part.folder} holds no {ADAPTER_WEIGHTS}"
    elif part.module == TRANSFORMER:
        if not weight_files(part.folder):
            for pickle in sorted(part.folder.glob("pytorch_model*")):
                yield is_pickle(pickle)
                return
    elif not (part.folder / WEIGHTS).is_file():
        pickle = part.folder / "pytorch_model.bin"
        yield is_pickle(pickle) if pickle.exists() else f"{part.folder} holds no {WEIGHTS} for its {part.module}"


def module_faults(part: Part, config: Mapping[str, Any]) -> Iterator[str]:
    """Compare the sizes that a small module declares with the header of its weights.

    Args:
        part: the folder and its module.
        config: its settings.
    """
    shapes = stored_shapes(part.folder / WEIGHTS)
    where = part.folder / CONFIG
    if part.module == STATIC:
        if len(_rows(shapes)) != 2:
            yield f"{part.folder / WEIGHTS} holds no matrix embedding.weight or embeddings for its {STATIC}"
        return
    if part.module == "LayerNorm":
        wanted: dict[str, tuple[Any, ...]] = dict.fromkeys(("norm.weight", "norm.bias"), (config.get("dimension"),))
    else:
        width, out = config.get("in_features"), config.get("out_features")
        wanted = {"linear.weight": (out, width)}
        wanted |= {"linear.bias": (out,)} if config.get("bias", True) else {}
        if config.get("use_residual") and width != out:
            wanted["residual.weight"] = (out, width)
    for name, shape in wanted.items():
        if name in shapes and shapes[name] != shape:
            yield f"{where} asks for {list(shape)} as {name}, but {list(shapes[name])} is stored"
    if "linear.weight" in wanted.keys() - shapes.keys() or "norm.weight" in wanted.keys() - shapes.keys():
        yield f"{part.folder / WEIGHTS} holds no weight for its {part.module}"


def vocabulary(part: Part) -> dict[str, Any]:
    """The size of the vocabulary that a table has rows for, as a config would tell it; nothing of other modules."""
    if part.module != STATIC:
        return {}
    shapes = stored_shapes(part.folder / WEIGHTS)
    return {"vocab_size": shapes.get("mapping", _rows(shapes))[0]}


def _rows(shapes: Shapes) -> tuple[int, ...]:
    """Shape of the table of a static model, by the name that sentence-transformers or model2vec gives it."""
    return shapes.get("embedding.weight", shapes.get("embeddings", ()))


def declaration_faults(part: Path, stored: Mapping[Path, Shapes]) -> list[str]:
    """Compare the sizes that a config declares with the headers of the weights, on a model without memory."""
    import open_codesage.modeling  # noqa: F401 (registers our classes with the Auto classes)
    import torch
    from transformers import AutoConfig, AutoModel

    where = part / CONFIG
    ours = read_object(where).get("model_type") == "codesage"
    try:
        config = AutoConfig.from_pretrained(part, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 (what a stranger's sizes make of any class of transformers)
        kind = "a CodeSage model" if ours else "a model that can be opened"
        return [f"{where} does not describe {kind}: {error}"]
    declared = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if not stored:
        return []
    names = {name.removeprefix(f"{model.base_model_prefix}.") for shapes in stored.values() for name in shapes}
    held = sum(math.prod(shape) for shapes in stored.values() for shape in shapes.values())
    # Buffers are made even where they are not stored, such as a mask of all positions by all positions.
    made = {**declared, **{name: tuple(buffer.shape) for name, buffer in model.named_buffers()}}
    asked = sum(math.prod(shape) for shape in made.values())
    if config.model_type != "codesage":
        # Some layers are shared, and some weights packed: only an explosion counts.
        if asked > 16 * held + (1 << 24):
            return [f"{where} declares {asked:.1e} weights, but only {held:,} are stored"]
        if (share := _share_stored(declared, names, bool(config.is_encoder_decoder))) < _ENOUGH:
            return [
                f"{where} describes a model of type {brief(config.model_type)}, but only {share:.0%} of its layers are "
                "stored: take config.json and weights of one model"
            ]
        return []
    if config.tie_word_embeddings:
        declared[TIED_HEAD] = declared["wte.weight"]
    problems = [
        f"{file}: {name} has shape {list(shape)}, config.json asks for {list(wanted)}"
        for file, shapes in stored.items()
        for name, shape in shapes.items()
        if (wanted := declared.get(name.removeprefix(PREFIX), shape)) != shape
    ]
    if problems:
        return [problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else "")]
    missing = sorted(declared.keys() - names - {TIED_HEAD})
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        problems.append(f"{part}: the weights lack {', '.join(missing[:8])}{more}, which config.json asks for")
    return problems


def _share_stored(declared: Collection[str], stored: Collection[str], without_decoder: bool) -> float:
    """The share of a model's layers of which something is stored, under whatever prefix.

    Layers and not tensors: formats have changed the last part of names. A decoder may be left out of an encoder's file.
    """
    layers = {name.rpartition(".")[0] for name in declared if not (without_decoder and name.startswith("decoder."))}
    found = set()
    for name in stored:
        layer = name.rpartition(".")[0]
        while layer:
            found.add(layer)
            layer = layer.partition(".")[2]
    return len(layers & found) / max(1, len(layers))


def value_faults(file: Path) -> Iterator[str]:
    """Find NaN and Inf, one tensor in memory at a time."""
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 (safe_open is no mapping)
            tensor = weights.get_tensor(name)
            # Eight-bit formats cannot be asked; those of our own models are never that narrow.
            if tensor.is_floating_point() and tensor.itemsize > 1 and not torch.isfinite(tensor).all():
                yield f"{file}: {name} holds NaN or Inf; take a checkpoint from before it diverged"
