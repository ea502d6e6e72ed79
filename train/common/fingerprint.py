"""Contents as short hashes: what data and texts are, wherever they lie."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path


def content_hash(parts: Sequence[str]) -> str:
    """SHA-256 of some strings, distinguished from any other split of the same characters."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()


def digest(*files: Path) -> str:
    """Return a short hash of the contents of some files, for settings that name data."""
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:16]
