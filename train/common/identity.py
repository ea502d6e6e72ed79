"""What was measured, exactly: names, revisions and hashes of models, and versions of packages.

Contract: `identify(model)` hashes all files that decide what a model computes, so that equal hashes mean equal models,
wherever their folders lie. `short_names` calls models by the last parts of their paths.

Invariant: nothing here tells where on a machine a folder lies.
"""

import hashlib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from .model_folder import require_sound_download
from .model_layout import ADAPTER
from .output import RESULTS
from .tree import files
from .untrusted import read_object

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "bm25s", "ir-measures")
"""Packages whose versions may change a figure."""

_DECIDING = (".json", ".txt", ".model", ".safetensors", ".py", ".jinja")
_RECORDS = ("training.json", "average.json", RESULTS, "trainer_state.json")
"""JSON files in a model folder that tell about the model but decide nothing."""


class Identity(NamedTuple):
    """Which model it is.

    Attributes:
        revision: commit on the Hub; None for a folder.
        hash: SHA-256 of the files.
    """

    revision: str | None
    hash: str


def identify(model: str) -> Identity:
    """Hash a model.

    Args:
        model: folder or Hub id.

    Raises:
        ValueError: it is neither.
    """
    folder = Path(model)
    if folder.is_dir():
        return Identity(None, folder_hash(folder))
    if folder.exists():
        raise ValueError(f"model {model} is a file: give the folder that it lies in")
    snapshot = require_sound_download(model)
    return Identity(snapshot.name, folder_hash(snapshot))


def folder_hash(folder: Path) -> str:
    """SHA-256 over names and contents of a model folder's files; of an adapter, the base model's as well."""
    digest = hashlib.sha256()
    for path in sorted(files(folder)):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.suffix in _DECIDING and path.name not in _RECORDS and not hidden and path.is_file():
            digest.update(f"{inner.as_posix()}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    if (folder / ADAPTER).is_file():
        base = read_object(folder / ADAPTER).get("base_model_name_or_path")
        digest.update(identify(str(base)).hash.encode())
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """The installed versions of `PACKAGES` and of this one."""
    return {name: metadata.version(name) for name in PACKAGES} | {"open-codesage": own_version()}


def own_version() -> str:
    """The version of this package; "not installed" when it is used from a checkout."""
    try:
        return metadata.version("open-codesage")
    except metadata.PackageNotFoundError:
        return "not installed"
