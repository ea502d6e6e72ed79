"""Embeddings on disk: each text is embedded once, and an interrupted run resumes where it was.

Contract: `Store.embeddings` returns a memory-mapped float32 array for texts, from the disk if the same model has
embedded the same texts in the same way before. Blocks are written as they come, longest texts first, so that a kill
loses at most one.

Invariants: an array gets its name when it is whole. It is named by a hash of all that decides its content: the model's
files, the texts in their order, how they are treated, and the versions of the libraries that compute. Of several
processes that want the same array, one computes it and the others wait.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from ..common.fingerprint import content_hash
from ..common.output import owned, read_json, write_json

BLOCK = 256
"""Texts that are embedded, and written, at once."""


class Store:
    """A folder of embeddings and of finished results.

    Args:
        folder: where they lie; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def embeddings(
        self, key: Sequence[str], texts: Sequence[str], embed: Callable[[list[str]], torch.Tensor], label: str
    ) -> npt.NDArray[np.float32]:
        """The embeddings of some texts, computed as far as they are not there.

        Args:
            key: what decides them besides the texts: model, treatment, versions.
            texts: at least one.
            embed: gives the embeddings of some texts, float [number of texts, D].
            label: what the progress bar says.

        Returns:
            float32 [number of texts, D], memory-mapped, read-only, in the order of the texts.
        """
        whole = self.folder / f"{content_hash([*key, content_hash(texts)])}.npy"
        with owned(whole, wait=True):
            if not whole.is_file():
                self._compute(whole, texts, embed, label)
        return np.load(whole, mmap_mode="r")

    def _compute(
        self, whole: Path, texts: Sequence[str], embed: Callable[[list[str]], torch.Tensor], label: str
    ) -> None:
        partial, progress = whole.with_suffix(".part.npy"), whole.with_suffix(".json")
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        done = read_json(progress)["done"] if progress.is_file() and partial.is_file() else 0
        rows = np.lib.format.open_memmap(partial, mode="r+") if done else None
        with tqdm(total=len(texts), initial=done, desc=label, disable=None, leave=False) as bar:
            for start in range(done, len(texts), BLOCK):
                numbers = order[start : start + BLOCK]
                vectors = embed([texts[number] for number in numbers]).numpy()
                if rows is None:
                    shape = (len(texts), vectors.shape[1])
                    rows = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
                rows[numbers] = vectors
                rows.flush()
                write_json(progress, {"done": start + len(numbers)})
                bar.update(len(numbers))
        del rows
        partial.replace(whole)
        progress.unlink()

    def result(self, key: Sequence[str], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure()` returns, a JSON object: from the disk if it was finished before under the same key."""
        path = self.folder / f"result-{content_hash(key)}.json"
        if not path.is_file():
            write_json(path, measure())
        return read_json(path)
