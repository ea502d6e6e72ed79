"""From a model folder with pickled weights to one with safetensors.

Contract: `main` writes a copy of a folder of transformers or sentence-transformers in which every pickle of weights is
a safetensors file that the libraries read in its place. Everything else of use is copied; pickles and code are not.

Invariant: a pickle is read with `weights_only`, in a process of its own, which can build tensors and nothing else. The
output appears only when it is whole and `require_sound` has found no fault in it.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.console import say
from ..common.model_folder import require_sound
from ..common.output import new_folder
from ..common.untrusted import read_object

if TYPE_CHECKING:
    from .config import SafetensorsConfig

SECONDS = 3600
_SCRIPT = Path(__file__).parents[1] / "common" / "unpickle.py"
_PICKLE, _INDEX, _WEIGHTS = "pytorch_model.bin", "pytorch_model.bin.index.json", "model.safetensors"
_COPIED = (".json", ".txt", ".model", ".safetensors", ".md")


def main(config: "SafetensorsConfig") -> Path:
    """Convert a folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: there is nothing to convert, a pickle holds more than weights, or the result has faults.
    """
    if not config.source.is_dir():
        raise ValueError(f"{config.source} is not a folder: download the model first, for example by `hf download`")
    folders = dict(_pickles(config.source))
    if not folders:
        raise ValueError(f"{config.source} holds no {_PICKLE}: there is nothing to convert")
    with new_folder(config.output) as output:
        for file in sorted(config.source.rglob("*")):
            # A link could lead anywhere. That of the Hub's cache leads to a file of its own.
            if file.is_file() and file.suffix in _COPIED and file.name != _INDEX:
                target = output / file.relative_to(config.source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        for folder, pickles in folders.items():
            target = output / folder.relative_to(config.source) / _WEIGHTS
            target.parent.mkdir(parents=True, exist_ok=True)
            _convert(pickles, target)
        require_sound(output)
    say(f"Safetensors: {sum(map(len, folders.values()))} files of weights converted, {config.output}")
    return config.output


def _pickles(source: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Find the pickles that the libraries would read, by the folder that they stand in."""
    for folder in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        if (folder / _WEIGHTS).exists():
            continue
        if (folder / _PICKLE).is_file():
            yield folder, [folder / _PICKLE]
        elif (folder / _INDEX).is_file():
            names = read_object(folder / _INDEX).get("weight_map")
            if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
                raise ValueError(f"{folder / _INDEX} is no index of weights: its weight_map has to map names to files")
            shards = sorted({*names.values()})
            if strange := [name for name in shards if Path(name).name != name or not (folder / name).is_file()]:
                raise ValueError(f"{folder / _INDEX} names {strange[0]!r}, which is not a file beside it")
            yield folder, [folder / name for name in shards]


def _convert(pickles: list[Path], target: Path) -> None:
    command = [sys.executable, "-P", str(_SCRIPT), str(target), *map(str, pickles)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{pickles[0]} takes more than {SECONDS} seconds to read") from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in reversed(told) if "weights_only" in line or "Unsupported" in line), told[-1])
        raise ValueError(f"{pickles[0]} cannot be converted, it holds more than weights or is damaged: {reason[:300]}")
