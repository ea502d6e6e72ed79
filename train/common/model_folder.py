"""Model folders from strangers: what has to hold before a library may open one.

Purpose: the libraries that open a folder believe what its files declare. They would allocate what a config asks for,
follow a path in an index out of the folder, and die with their process of some tokenizers. Every command that opens a
model folder calls `require_sound` first.

Contract: `faults(folder)` returns one sentence per fault, naming the file; `require_sound` raises them as a ValueError.
Folders of any architecture in the layouts of transformers and sentence-transformers are understood; the weights of a
CodeSage model are compared with its config shape by shape.

Invariants: what is read and allocated is bounded by the size of the files, never by a number that they declare; nothing
of the folder is executed; a tokenizer is first opened in a child process of limited memory and time.
"""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError

from .untrusted import containers, read_json, read_object

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Files that can run code when they are opened."""

MODULES = "modules.json"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
SENTENCE_CONFIG = "sentence_bert_config.json"
OBJECTS = (
    CONFIG,
    INDEX,
    ADAPTER,
    "added_tokens.json",
    "config_sentence_transformers.json",
    "generation_config.json",
    SENTENCE_CONFIG,
    "special_tokens_map.json",
    "tokenizer_config.json",
)
"""JSON files that the libraries read, each one object."""

PREFIX = "transformer."
TIED_HEAD = "lm_head.weight"

TOKENIZER_BYTES = 64 << 20
LABELS = 100_000
FEW = 128
SECONDS = 60

# What a broken file makes the libraries raise; anything else is a fault of ours and keeps its traceback.
LOADING_ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError, ImportError),
    SafetensorError,
)

# Names of numbers that a model class counts up to while it is built.
_COUNTED = re.compile(r"(layers?|experts|blocks|stages|depth)$")

_SCRIPT = Path(__file__).with_name("tokenizer_probe.py")


def require_sound(folder: Path) -> None:
    """Refuse a model folder that is not safe to open.

    Raises:
        ValueError: the faults, each with its file.
    """
    if problems := faults(folder):
        raise ValueError(f"{folder} can not be opened as a model:\n  " + "\n  ".join(problems))
    if (folder / ADAPTER).is_file():
        base = read_object(folder / ADAPTER).get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise ValueError(f"{folder / ADAPTER} names no base model: save the adapter again")
        if not Path(base).is_dir():
            require_sound_download(base)
        elif (Path(base) / ADAPTER).is_file():
            raise ValueError(f"{folder / ADAPTER} names {base}, which is an adapter itself: merge that first")
        else:
            require_sound(Path(base))


def require_sound_download(model: str) -> None:
    """Fetch the model of a Hub id into the cache, pickles and code left out, and refuse it if it is not safe to open.

    Raises:
        ValueError: it can not be fetched, or has faults, each with its file.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(model, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"])
    except (OSError, ValueError) as error:
        reason = f"There is no such folder, and as a Hub id it can not be opened: {error}"
        raise ValueError(f"model {model}: {reason}") from error
    require_sound(Path(folder))


def faults(folder: Path) -> list[str]:
    """Look for what makes a model folder unsafe or useless to open.

    Args:
        folder: a folder of transformers or sentence-transformers, an adapter, or a tokenizer alone.

    Returns:
        One sentence per fault; none, an empty list.
    """
    if not folder.is_dir():
        return [f"{folder} is not a folder"]
    try:
        parts = [folder, *_modules(folder)]
        return [fault for part in dict.fromkeys(parts) for fault in _part_faults(part)]
    except ValueError as error:
        return [str(error)]


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
            raise ValueError(f"{index} names {name!r}, which is not a file beside it; such a path is never followed")
        if not (index.parent / name).is_file():
            raise ValueError(f"{index} names {name}, which is missing: copy the whole folder again")
    return sorted({index.parent / name for name in names.values()})


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that transformers takes the weights from, as `shards` does; none, an empty list."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    return shards(folder / INDEX) if (folder / INDEX).exists() else []


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


def _modules(folder: Path) -> Iterator[Path]:
    """Yield the folders of the modules of a sentence-transformers folder."""
    path = folder / MODULES
    if not path.exists():
        return
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"{path} has to hold a list of modules")
    for module in modules:
        inner = module.get("path")
        if not isinstance(inner, str) or inner.startswith(("/", "~")) or re.search(r"\.\.|\\|:", inner):
            raise ValueError(f"{path} names {inner!r}, which is not a folder inside; such a path is never followed")
        if (folder / inner).is_dir():
            yield folder / inner


def _part_faults(part: Path) -> list[str]:
    """Check one folder, without the folders in it."""
    if irregular := [path for path in part.iterdir() if not path.is_file() and not path.is_dir()]:
        return [f"{path} is no regular file: remove it" for path in irregular]
    objects, problems = {}, []
    for name in OBJECTS:
        if (part / name).exists():
            try:
                objects[name] = read_object(part / name)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        return problems
    config = objects.get(CONFIG, {})
    weight_files(part)
    stored = {file: stored_shapes(file) for file in sorted(part.glob("*.safetensors"))}
    problems = [*_count_faults(part, config, sum(map(len, stored.values()))), *_setting_faults(part, objects, stored)]
    if not problems and "model_type" in config:
        problems = _declaration_faults(part, {file: stored[file] for file in weight_files(part)})
    problems += _tokenizer_faults(part, config, objects.get("tokenizer_config.json", {}))
    return problems or [fault for file in stored for fault in _value_faults(file)]


def _count_faults(part: Path, config: dict[str, Any], stored: int) -> Iterator[str]:
    """Find numbers in a config that would keep a model class busy, or fill the memory, before any weight is made."""
    level: list[Any] = [config]
    while level:
        for outer in level:
            for key, value in outer.items() if isinstance(outer, dict) else ():
                if not isinstance(value, int):
                    continue
                if _COUNTED.search(key) and value > max(stored, FEW):
                    yield f"{part / CONFIG}: {key} is {value}, but {stored} weights are stored"
                if key == "num_labels" and value > LABELS:
                    yield f"{part / CONFIG}: {key} is {value}, more than the {LABELS:,} that are supported"
        level = [inner for outer in level for inner in containers(outer)]
    if isinstance(width := config.get("in_features"), int) and isinstance(out := config.get("out_features"), int):
        held = sum(map(math.prod, stored_shapes(part / WEIGHTS).values())) if (part / WEIGHTS).is_file() else 0
        if width * out > max(held, 1 << 24):
            yield f"{part / CONFIG} asks for {width * out:.0e} weights, but {held:,} are stored"


def _setting_faults(
    part: Path, objects: dict[str, dict[str, Any]], stored: dict[Path, dict[str, tuple[int, ...]]]
) -> Iterator[str]:
    """Find settings by which other files than a model's own config would decide how much is made."""
    for key, value in objects.get(SENTENCE_CONFIG, {}).items():
        if key.endswith(("_args", "_kwargs")) and value:
            yield f"{part / SENTENCE_CONFIG}: {key} would change how the model is opened; remove it"
    shapes = [shape for file in stored.values() for shape in file.values()]
    if "model_type" not in objects.get(CONFIG, {}):
        most = max(sum(map(math.prod, shapes)), 1 << 20)
        for key, value in objects.get(CONFIG, {}).items():
            if isinstance(value, int) and value > most:
                yield f"{part / CONFIG}: {key} is {value}, more than any module of so few weights needs"
    adapter = objects.get(ADAPTER, {})
    ranks = [
        adapter.get("r"),
        *(patterns.values() if isinstance(patterns := adapter.get("rank_pattern"), dict) else ()),
    ]
    widest = max((size for shape in shapes for size in shape), default=0)
    for rank in ranks:
        if isinstance(rank, int) and rank > widest:
            yield f"{part / ADAPTER}: a rank of {rank}, but no stored weight is wider than {widest}"


def _declaration_faults(part: Path, stored: dict[Path, dict[str, tuple[int, ...]]]) -> list[str]:
    """Compare the sizes that a config declares with the headers of the weights, on a model without memory."""
    import open_codesage.modeling  # noqa: F401 (registers our classes with the Auto classes)
    import torch
    from transformers import AutoConfig, AutoModel

    where = part / CONFIG
    try:
        config = AutoConfig.from_pretrained(part, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    except LOADING_ERRORS as error:
        kind = "a CodeSage model" if read_object(where)["model_type"] == "codesage" else "a model that can be opened"
        return [f"{where} does not describe {kind}: {error}"]
    declared = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if not stored:
        return []
    names = {name.removeprefix(f"{model.base_model_prefix}.") for shapes in stored.values() for name in shapes}
    held = sum(math.prod(shape) for shapes in stored.values() for shape in shapes.values())
    asked = sum(math.prod(shape) for name, shape in declared.items())
    if config.model_type != "codesage":
        # Quantised weights are packed, up to eight to a number, and some layers are shared: only an explosion counts.
        explodes = asked > 16 * held + (1 << 24)
        return [f"{where} declares {asked:.1e} weights, but only {held:,} are stored"] if explodes else []
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


def _value_faults(file: Path) -> Iterator[str]:
    """Find NaN and Inf, one tensor in memory at a time."""
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 (safe_open is no mapping)
            tensor = weights.get_tensor(name)
            # Eight-bit formats can not be asked; those of our own models are never that narrow.
            if tensor.is_floating_point() and tensor.itemsize > 1 and not torch.isfinite(tensor).all():
                yield f"{file}: {name} holds NaN or Inf; take a checkpoint from before it diverged"


def _tokenizer_faults(part: Path, config: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    where = part / "tokenizer_config.json"
    length = settings.get("model_max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | float) or length < 1):
        return [f"{where}: model_max_length is {length!r}, not a number of tokens"]
    for key in ("tokenizer_file", "vocab_file", "merges_file"):
        if isinstance(elsewhere := settings.get(key), str) and Path(elsewhere).is_file():
            return [f"{where} names the file {elsewhere!r}; such a path is never followed: remove {key}"]
    if "fast_tokenizer_files" in settings:
        return [f"{where} names fast_tokenizer_files, which could lie anywhere: remove it, tokenizer.json is enough"]
    path = part / "tokenizer.json"
    if not path.exists():
        if (part / "vocab.json").exists():
            read_object(part / "vocab.json", TOKENIZER_BYTES)
        return []
    try:
        largest = probe_tokenizer(path)
    except ValueError as error:
        return [str(error)]
    vocabulary = config.get("vocab_size")
    if isinstance(vocabulary, int) and largest >= vocabulary:
        return [f"{path} gives the token id {largest}, beyond the model's vocabulary of {vocabulary}"]
    return []


def probe_tokenizer(path: Path) -> int:
    """Open a `tokenizer.json` in a process of its own, since some tokenizers end the process that opens them.

    Returns:
        The largest token id of a few encodings.

    Raises:
        ValueError: it is too long, or can not be used; the message says why.
    """
    if (size := path.stat().st_size) > TOKENIZER_BYTES:
        raise ValueError(f"{path} is {size:,} bytes long, a file of its kind has at most {TOKENIZER_BYTES:,}")
    largest, reason = _probe(path.read_bytes())
    if reason:
        raise ValueError(f"{path} can not be opened: {reason}")
    return largest


@lru_cache(maxsize=4)
def _probe(content: bytes) -> tuple[int, str]:
    """Return the largest id that a tokenizer gives, or why it can not be used."""
    command = [sys.executable, "-P", str(_SCRIPT)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 0, f"it takes more than {SECONDS} seconds"
    if done.returncode == 0:
        return int(done.stdout), ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    told = [line for line in lines if not line.startswith(("note:", "thread"))]
    reason = re.sub(r"^[\w.]+(Exception|Error): ", "", told[-1]) if told else f"exit status {done.returncode}"
    return 0, reason[:300]


def require_safetensors(source: Path) -> None:
    """Make sure that a model folder can be opened without unpickling anything, and that it is sound.

    Args:
        source: a model folder.

    Raises:
        ValueError: there are no weights in safetensors files (the message says how to convert pickled ones), or
            `require_sound` has found faults.
    """
    candidates = sorted(source.iterdir()) if source.is_dir() else [source]
    if source.is_dir() and any(file.suffix == ".safetensors" for file in candidates):
        require_sound(source)
        return
    for file in candidates:
        if file.suffix in PICKLES and file.is_file():
            raise ValueError(
                f"{file} is a pickle, which can run any code when it is read, and is refused as model weights: "
                "if you trust its origin, convert it to safetensors, one of CodeSage with `open-codesage convert`, "
                "another with torch.load(…, weights_only=True) and safetensors.torch.save_file"
            )
    raise ValueError(f"{source} is not a folder with model weights in safetensors files")
