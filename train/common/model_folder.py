"""Model folders from strangers: what has to hold before a library may open one.

Purpose: the libraries that open a folder believe what its files declare. They would allocate what a config asks for,
follow a path in an index out of the folder, read a pickle where no safetensors are, import what a module's type names,
and die with their process of some tokenizers. Every command that opens a model folder calls `require_sound` first.

Contract: `faults(folder)` returns one sentence per fault, naming the file; `require_sound` raises them as a ValueError.
Folders of any architecture in the layouts of transformers and sentence-transformers are understood, as far as
`model_layout` lists them; the weights of a CodeSage model are compared with its config shape by shape.

Invariants: what is read and allocated is bounded by the size of the files, never by a number that they declare; nothing
of the folder is executed; a tokenizer is first opened in a child process of limited memory and time.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .model_layout import (
    ADAPTER,
    CONFIG,
    MODEL_CONFIG,
    MODULE_TYPES,
    SENTENCE_CONFIG,
    STATIC,
    TRANSFORMER,
    Part,
    config_faults,
    parts,
    setting_faults,
)
from .model_tokenizer import TOKENIZER_CONFIG, tokenizer_faults
from .model_weights import (
    ADAPTER_WEIGHTS,
    INDEX,
    PICKLES,
    Shapes,
    declaration_faults,
    is_pickle,
    module_faults,
    stored_shapes,
    value_faults,
    vocabulary,
    weight_faults,
    weight_files,
)
from .untrusted import read_object

OBJECTS = (
    *(CONFIG, INDEX, ADAPTER, MODEL_CONFIG, SENTENCE_CONFIG, TOKENIZER_CONFIG),
    *("added_tokens.json", "generation_config.json", "special_tokens_map.json"),
)
"""JSON files that the libraries read, each one object."""

LABELS = 100_000


def require_sound(folder: Path) -> None:
    """Refuse a model folder that is not safe to open.

    Raises:
        ValueError: the faults, each with its file.
    """
    if problems := faults(folder):
        raise ValueError(f"{folder} cannot be opened as a model:\n  " + "\n  ".join(problems))
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


def require_sound_download(model: str) -> Path:
    """Fetch the model of a Hub id into the cache, pickles and code left out, and refuse it if it is not safe to open.

    Returns:
        The folder of its files. Who opens the id, opens it with `local_files_only`: a library would fetch the rest.

    Raises:
        ValueError: it cannot be fetched, or has faults, each with its file.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(model, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"])
    except (OSError, ValueError) as error:
        reason = f"There is no such folder, and as a Hub id it cannot be opened: {error}"
        raise ValueError(f"model {model}: {reason}") from error
    require_sound(Path(folder))
    return Path(folder)


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
            raise ValueError(is_pickle(file))
    raise ValueError(f"{source} is not a folder with model weights in safetensors files")


def require_sound_tokenizer(folder: Path) -> None:
    """Refuse a folder whose tokenizer is not safe to open; weights in it are not looked at.

    Raises:
        ValueError: the faults, each with its file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    try:
        objects, problems = _objects(folder)
    except ValueError as error:
        objects, problems = {}, [str(error)]
    problems = problems or tokenizer_faults(folder, objects.get(CONFIG, {}), objects.get(TOKENIZER_CONFIG, {}))
    if problems:
        raise ValueError(f"{folder} cannot be opened as a tokenizer:\n  " + "\n  ".join(problems))


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
        return [fault for part in dict.fromkeys(parts(folder)) for fault in _part_faults(part, folder)]
    except ValueError as error:
        return [str(error)]


def _part_faults(part: Part, root: Path) -> list[str]:
    """Check one folder, without the folders in it."""
    folder = part.folder
    if irregular := list(_irregular(folder, root)):
        return irregular
    objects, problems = _objects(folder, MODULE_TYPES[part.module].config)
    if problems := problems or list(setting_faults(part, objects)):
        return problems
    adapter = ADAPTER in objects
    if MODULE_TYPES[part.module].weights and (problems := list(weight_faults(part, adapter))):
        return problems
    config = objects.get(CONFIG, {})
    if part.module != TRANSFORMER:
        if MODULE_TYPES[part.module].weights:
            problems = list(module_faults(part, config))
            if part.module == STATIC:  # sentence-transformers reads no config of it, but AutoModel does
                problems += config_faults(folder / CONFIG, config, len(stored_shapes(folder / "model.safetensors")))
            if not problems:
                problems = tokenizer_faults(folder, vocabulary(part), objects.get(TOKENIZER_CONFIG, {}))
            problems = problems or list(value_faults(folder / "model.safetensors"))
        return problems
    read = [folder / ADAPTER_WEIGHTS] if adapter else weight_files(folder)
    stored = {file: stored_shapes(file) for file in read}
    problems = list(config_faults(folder / CONFIG, config, sum(map(len, stored.values()))))
    problems += [*_label_faults(folder, config), *_rank_faults(folder, objects.get(ADAPTER, {}), stored)]
    problems += _length_faults(folder, config, objects.get(SENTENCE_CONFIG, {}))
    if not problems and CONFIG in objects and (stored or "model_type" in config):
        problems = declaration_faults(folder, {} if adapter else stored)
    problems += tokenizer_faults(folder, config, objects.get(TOKENIZER_CONFIG, {}))
    return problems or [fault for file in stored for fault in value_faults(file)]


def _objects(folder: Path, *others: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read the JSON objects of a folder; returns them by name, and the faults of those that are none."""
    objects, problems = {}, []
    for name in dict.fromkeys((*OBJECTS, *others)):
        if name and (folder / name).exists():
            try:
                objects[name] = read_object(folder / name)
            except ValueError as error:
                problems.append(str(error))
    return objects, problems


def _irregular(folder: Path, root: Path) -> Iterator[str]:
    """Find entries that are no files, and links that lead to where a stranger's folder has no business."""
    home = root.resolve()
    # The cache of the Hub keeps files under their hashes and links to them from each snapshot.
    cache = home.parents[1] / "blobs" if len(home.parents) > 1 and home.parent.name == "snapshots" else home
    for path in sorted((folder, *folder.iterdir())):
        if not path.is_file() and not path.is_dir():
            yield f"{path} is no regular file: remove it"
        elif path.is_symlink() and path != root and not any(map(path.resolve().is_relative_to, (home, cache))):
            yield f"{path} is a link out of the folder, which is never followed: put a copy in its place"


def _label_faults(part: Path, config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("num_labels", "id2label", "label2id"):
        value = config.get(key)
        number = len(value) if isinstance(value, dict) else value
        if isinstance(number, int) and number > LABELS:
            yield f"{part / CONFIG}: {key} is {number}, more than the {LABELS:,} that are supported"


def _rank_faults(part: Path, adapter: Mapping[str, Any], stored: Mapping[Path, Shapes]) -> Iterator[str]:
    """Find ranks of an adapter by which more would be made than is stored."""
    patterns = adapter.get("rank_pattern")
    ranks = [adapter.get("r"), *(patterns.values() if isinstance(patterns, dict) else ())]
    shapes = [shape for file in stored.values() for shape in file.values()]
    widest = max((size for shape in shapes for size in shape), default=0)
    for rank in ranks:
        if isinstance(rank, int) and rank > widest:
            yield f"{part / ADAPTER}: a rank of {rank}, but no stored weight is wider than {widest}"


def _length_faults(part: Path, config: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Find an input that is longer than a CodeSage model takes, which else would come out only while it encodes."""
    longest = config.get("max_position_embeddings")
    for key in ("max_seq_length", "query_length", "document_length"):
        length = settings.get(key)
        if (
            config.get("model_type") == "codesage"
            and isinstance(length, int)
            and isinstance(longest, int)
            and length > longest
        ):
            yield f"{part / SENTENCE_CONFIG}: {key} is {length}, but the model has {longest} positions"
