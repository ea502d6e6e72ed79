"""The tokenizer of a model folder, which could end the process that opens it.

Contract: `tokenizer_faults` says why the tokenizer of a folder is not opened; `probe_tokenizer` opens a
`tokenizer.json`, in a process of its own, and gives the largest id of a few encodings.

Invariant: no tokenizer is opened here before a process of limited memory and time has opened it and encoded with it.
"""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .untrusted import brief

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_BYTES = 64 << 20
SECONDS = 120

_SCRIPT = Path(__file__).with_name("tokenizer_probe.py")
_ELSEWHERE = re.compile(r"_file$|_spm$|^spm|^vocab$")
"""Settings that name a file of the vocabulary."""
_VOCABULARY = re.compile(r"vocab\.(?:txt|json)|merges\.txt|[\w.]+\.(?:model|spm)|prophetnet\.tokenizer")
"""Files that transformers makes a tokenizer of where there is no `tokenizer.json`."""


def tokenizer_faults(part: Path, config: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Find what speaks against opening the tokenizer of a folder.

    Args:
        part: the folder; one without a tokenizer has no fault.
        config: the `config.json` in it, for the size of the vocabulary.
        settings: the `tokenizer_config.json` in it.

    Returns:
        One sentence per fault.
    """
    where = part / TOKENIZER_CONFIG
    length = settings.get("model_max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | float) or length < 1):
        return [f"{where}: model_max_length is {brief(length)}, not a number of tokens"]
    for key, elsewhere in settings.items():
        if _ELSEWHERE.search(key) and isinstance(elsewhere, str) and _exists(elsewhere):
            return [f"{where} names the file {brief(elsewhere)}; such a path is never followed: remove {key}"]
    if "fast_tokenizer_files" in settings:
        return [f"{where} names fast_tokenizer_files, which could lie anywhere: remove it, tokenizer.json is enough"]
    if settings.get("processor_class"):
        return [f"{where}: processor_class would make a processor of pictures or sounds: remove it"]
    try:
        if (path := part / TOKENIZER).exists():
            largest = probe_tokenizer(path)
        elif vocabularies := sorted(file for file in part.iterdir() if _VOCABULARY.fullmatch(file.name)):
            path, largest = vocabularies[0], _probe_vocabulary(part, vocabularies)
        else:
            return []
    except ValueError as error:
        return [str(error)]
    vocabulary = config.get("vocab_size")
    if isinstance(vocabulary, int) and largest >= vocabulary:
        return [f"{path} gives the token id {largest}, beyond the model's vocabulary of {vocabulary}"]
    return []


def _exists(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def probe_tokenizer(path: Path) -> int:
    """Open a `tokenizer.json` in a process of its own, since some tokenizers end the process that opens them.

    Returns:
        The largest token id of a few encodings.

    Raises:
        ValueError: it is too long, or cannot be used; the message says why.
    """
    _require_length(path)
    largest, reason = _probe(path.read_bytes())
    if reason:
        raise ValueError(f"{path} cannot be opened: {reason}")
    return largest


def _probe_vocabulary(folder: Path, files: Sequence[Path]) -> int:
    """The same of a folder whose tokenizer is made of the files of an older kind; takes as long as transformers does.

    Raises:
        ValueError: like `probe_tokenizer`.
    """
    for file in files:
        _require_length(file)
    largest, reason = _run([str(folder)], b"")
    if reason:
        raise ValueError(f"{files[0]} cannot be opened: {reason}")
    return largest


def _require_length(path: Path) -> None:
    if (size := path.stat().st_size) > TOKENIZER_BYTES:
        raise ValueError(f"{path} is {size:,} bytes long, a file of its kind has at most {TOKENIZER_BYTES:,}")


@lru_cache(maxsize=4)
def _probe(content: bytes) -> tuple[int, str]:
    """Return the largest id that a tokenizer gives, or why it cannot be used."""
    return _run([], content)


def _run(arguments: list[str], content: bytes) -> tuple[int, str]:
    command = [sys.executable, "-P", str(_SCRIPT), *arguments]
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
