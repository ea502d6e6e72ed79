"""Distillation: beside the pairs, a student learns the similarities that a teacher sees in a batch.

Contract: `TeacherVectors` embeds with the teacher what a training will show of each pair, once, and reads it back.
`DistilledLoss` adds to a contrastive loss sentence-transformers' `DistillKLDivLoss` over the similarities of the
batch, so teacher and student may differ in their dimensions and architectures.

Invariants: the student embeds a batch once for both losses. The teacher's vectors are a function of its weights and
of the forms of the pairs; what an interrupted preparation has written is kept.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from torch import Tensor, nn

from ..common.output import read_json, write_json
from ..retrieval.encoder import Side
from .losses import HardNegativeContrastiveLoss

TEMPERATURE = 0.05
"""Divides the cosines of teacher and student before they become probabilities."""

CANDIDATES = 64
"""Vectors of either side that each vector of a batch is compared with, at most."""

_BLOCK = 4096


class TeacherVectors:
    """What a teacher makes of the two sides of pairs, on the disk.

    Args:
        file: where the vectors lie; what an earlier start with the same pairs has written to it is kept.
        pairs: texts and codes as training shows them.
        embed: gives the teacher's vectors of some queries or documents, float [number of texts, D].
    """

    def __init__(
        self, file: Path, pairs: Sequence[tuple[str, str]], embed: Callable[[list[str], Side], Tensor]
    ) -> None:
        self._places = {_key(*pair): place for place, pair in enumerate(pairs)}
        progress = file.with_suffix(".json")
        done = read_json(progress)["done"] if progress.is_file() and file.is_file() else 0
        vectors = np.lib.format.open_memmap(file, mode="r+") if done else None
        for start in range(done, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            texts, codes = map(list, zip(*block, strict=True))
            found = torch.stack([embed(texts, "query"), embed(codes, "document")], dim=1)
            if vectors is None:
                shape = (len(pairs), 2, found.shape[2])
                vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
            vectors[start : start + len(block)] = F.normalize(found.float(), dim=-1).cpu().numpy()
            vectors.flush()
            write_json(progress, {"done": start + len(block)})
        self._vectors: NDArray[np.float16] = np.load(file, mmap_mode="r")

    def __call__(self, texts: Sequence[str], codes: Sequence[str]) -> Tensor:
        """The vectors of some pairs: float32 [pairs, 2, D]."""
        places = [self._places[_key(*pair)] for pair in zip(texts, codes, strict=True)]
        return torch.from_numpy(self._vectors[places].astype(np.float32))


def _key(text: str, code: str) -> bytes:
    return hashlib.blake2b(f"{len(text)} {text}{code}".encode(), digest_size=16).digest()


class DistilledLoss(CachedLossMixin, nn.Module):
    """A contrastive loss, and how far the student's similarities are from the teacher's.

    Each vector of the batch is compared with up to `CANDIDATES` of the other side, its own half of the pair among
    them, and with as many others of its own side. The distance is the Kullback-Leibler divergence from the teacher's
    distribution over them, both at the temperature `TEMPERATURE`.

    Args:
        loss: the loss over the pairs.
        share: what the teacher counts, from 0 to 1; the pairs count the rest.
    """

    model: Any

    def __init__(self, loss: HardNegativeContrastiveLoss, share: float) -> None:
        super().__init__()
        self.model: nn.Module = loss.model
        self.loss, self.share = loss, share
        self.mini_batch_size, self.uses_gradient_cache = loss.mini_batch_size, loss.uses_gradient_cache
        self._distance = DistillKLDivLoss(loss.model, temperature=TEMPERATURE)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Embed a batch of pairs and compute the loss.

        Args:
            sentence_features: texts and codes, row by row one pair.
            labels: the teacher's vectors of both, [N, 2, D].
        """
        columns = list(sentence_features)
        if self.uses_gradient_cache:
            return self.forward_cached(columns, labels)  # type: ignore[operator]
        return self.calculate_loss([[self.model(column)["sentence_embedding"]] for column in columns], labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Compute the loss from embeddings; see `HardNegativeContrastiveLoss.calculate_loss`."""
        if labels is None:
            raise ValueError("distillation needs the teacher's vectors as labels: collate with PairCollator")
        pairs = (1 - self.share) * self.loss.calculate_loss(reps)
        texts, codes = (torch.cat(column) for column in reps)
        total = pairs + self.share * similarity_distance(self._distance, (texts, codes), labels.unbind(dim=1))
        if with_backward:
            total.backward()
            return total.detach()
        return total

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for the model card."""
        return self.loss.get_config_dict() | {"teacher_share": self.share}


def similarity_distance(
    distance: DistillKLDivLoss, student: Sequence[Tensor], teacher: Sequence[Tensor], candidates: int = CANDIDATES
) -> Tensor:
    """How far the similarities of a batch are from a teacher's.

    Args:
        distance: the divergence.
        student: vectors of texts and of codes, each [N, d], row by row one pair.
        teacher: the same of the teacher, each [N, D].
        candidates: vectors of a side that each vector is compared with, at most.

    Returns:
        The mean over all 2N vectors and both sides.
    """
    ours, theirs = (torch.cat([F.normalize(side.float(), dim=-1) for side in sides]) for sides in (student, teacher))
    count = len(student[0])
    rows = torch.arange(2 * count, device=ours.device)
    total = ours.new_zeros(())
    for across in (True, False):
        # A vector itself is no candidate of its own side; its pair is the first one of the other.
        shifts = range(0 if across else 1, min(count, candidates + (not across)))
        columns = [_on_side(rows, shift, across, count) for shift in shifts]
        labels = torch.stack([(theirs * theirs[column]).sum(dim=1) for column in columns], dim=1)
        total = total + distance.compute_loss_from_embeddings([ours, *(ours[column] for column in columns)], labels)
    # The library multiplies with the squared temperature, for temperatures above one.
    return total / (2 * TEMPERATURE**2)


def _on_side(rows: Tensor, shift: int, across: bool, count: int) -> Tensor:
    """For each of 2N rows the one that is so many further on the other side, or on its own."""
    return (rows % count + shift) % count + count * ((rows // count + across) % 2)
