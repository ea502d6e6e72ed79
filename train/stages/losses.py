"""The contrastive loss of Stage II: every other vector of the batch is a negative, hard ones weigh more.

Contract: `HardNegativeContrastiveLoss` is a loss of the sentence-transformers trainer for rows of two columns, text and
code, or more: what follows are negatives. It takes part in their cached-gradient machinery (`CachedLossMixin`), in
`MatryoshkaLoss` and in distributed data-parallel training, without changes there.

Invariants: neither the mini-batches of the encoder, nor the chunks of anchors, nor the number of processes change the
loss or its gradients, beyond rounding. The similarity work never holds more than a few matrices of
[anchor_chunk_size, V], for V vectors in the batch of all processes together.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from sentence_transformers.util import all_gather_with_grad
from sentence_transformers.util.distributed import get_rank, get_world_size
from torch import Tensor, nn

Gamma = Literal["none", "sum", "mean"]


def collapse_value(pairs: int, gamma: Gamma) -> float:
    """The loss of an encoder that maps everything to one point: all similarities of a batch are equal.

    Args:
        pairs: N, the pairs in a batch.
        gamma: how the weights of the negatives are normalised.

    Returns:
        log(2N-1) where the weights average one, log 2 where they sum to one.
    """
    return math.log(2.0) if gamma == "sum" else math.log(2 * pairs - 1)


def collapse_value_of_ranking(pairs: int, hardness_strength: float = 0.0) -> float:
    """The same for sentence-transformers' MultipleNegativesRankingLoss, which adds the strength to negatives' logits.

    Args:
        pairs: N, the pairs in a batch.
        hardness_strength: times the cosine, which is one, is added; 0 without a hardness mode.

    Returns:
        log(1 + (N-1) e^strength).
    """
    return math.log1p((pairs - 1) * math.exp(hardness_strength))


class HardNegativeContrastiveLoss(CachedLossMixin, nn.Module):
    """Contrastive loss over all 2N vectors of a batch of N pairs (CodeSage, section 3.2, equations 2 and 3).

    With s(i,k) the cosine of vectors i and k over the temperature, i+ the other half of i's pair, and B the 2N vectors,

        L(i) = -log( e^s(i,i+) / ( e^s(i,i+) + sum over k in B without i, i+ of gamma(i,k) e^s(i,k) ) ),
        gamma(i,k) = e^s(i,k) / sum over j in B without i, i+ of e^s(i,j).

    The loss is the mean of L over all 2N anchors, that is over both directions of every pair. As printed the weights
    sum to one, so that all negatives together weigh as much as one; the authors' earlier code for the work that they
    cite normalises them to a mean of one. The paper does not say whether gradients go through the weights.

    Given negatives of their own (triplets, which the paper does not have), the rows stand in B for every anchor of the
    batch, and are no anchors themselves.

    Args:
        model: the encoder that is trained.
        temperature: divides the cosines; the paper has 0.05.
        gamma: "none" gives every negative the weight one, "sum" makes the weights of an anchor sum to one, as printed,
            "mean" makes them average one, that is, without further negatives, sum to 2N-2.
        gamma_gradient: let gradients through the weights, too.
        mini_batch_size: rows that the encoder sees at once; gradients are cached, so that memory depends on this and
            not on the batch. None embeds each column in one piece without a cache, which spares a second forward pass.
        anchor_chunk_size: anchors whose similarities are computed at once.
        gather_across_devices: take negatives from the batches of all processes; each must hold equally many pairs.

    Raises:
        ValueError: an option out of its range, or a model that cannot be fed in mini-batches.
    """

    model: Any

    def __init__(
        self,
        model: SentenceTransformer,
        temperature: float = 0.05,
        gamma: Gamma = "mean",
        gamma_gradient: bool = False,
        mini_batch_size: int | None = 32,
        anchor_chunk_size: int = 256,
        gather_across_devices: bool = False,
    ) -> None:
        super().__init__()
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be a positive number, not {temperature!r}")
        if gamma not in get_args(Gamma):
            raise ValueError(f"gamma must be one of {', '.join(get_args(Gamma))}, not {gamma!r}")
        if gamma_gradient and gamma == "none":
            raise ValueError('gamma_gradient needs weights to go through: choose gamma "sum" or "mean"')
        if mini_batch_size is not None and mini_batch_size < 1:
            raise ValueError(f"mini_batch_size must be at least 1, or None for no mini-batches, not {mini_batch_size}")
        if anchor_chunk_size < 1:
            raise ValueError(f"anchor_chunk_size must be at least 1, not {anchor_chunk_size}")
        if mini_batch_size is not None and has_static_embedding_input(model):
            raise ValueError("a StaticEmbedding cannot be fed in mini-batches: set mini_batch_size to None")
        self.model = model
        self.temperature = temperature
        self.gamma = gamma
        self.gamma_gradient = gamma_gradient
        self.uses_gradient_cache = mini_batch_size is not None
        self.mini_batch_size = mini_batch_size  # type: ignore[assignment]
        self.anchor_chunk_size = anchor_chunk_size
        self.gather_across_devices = gather_across_devices

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """Embed a batch of pairs and compute its loss.

        Args:
            sentence_features: two columns of N tokenised rows, texts and codes, row by row one pair; then columns of
                negatives, if there are any.
            labels: must be None; the pairs are the supervision.

        Returns:
            The mean loss over this process's 2N anchors, a scalar of float32 (float64 where the model is).

        Raises:
            ValueError: labels, a single column, columns of unequal length, or a single pair without negatives.
        """
        columns = list(sentence_features)
        if len(columns) < 2:
            raise ValueError(
                f"this loss takes two columns or more, text, code and negatives, and got {len(columns)}: "
                "select them in the dataset, or collate with PairCollator"
            )
        if labels is not None:
            raise ValueError("this loss takes no labels: remove the label or score column from the dataset")
        if self.uses_gradient_cache:
            return self.forward_cached(columns)  # type: ignore[operator]
        return self.calculate_loss([[self.model(column)["sentence_embedding"]] for column in columns])

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Compute the loss from embeddings, in chunks of anchors.

        Args:
            reps: the columns, each a list of mini-batches [rows, d].
            labels: not used.
            with_backward: back-propagate to `reps` chunk by chunk, and return the loss without its graph.

        Returns:
            The mean loss over this process's anchors.

        Raises:
            ValueError: columns of unequal length, or a batch that holds a single pair and no negatives.
        """
        texts, codes, *negatives = (torch.cat(column) for column in reps)
        if len(texts) != len(codes):
            raise ValueError(f"a batch of {len(texts)} texts and {len(codes)} codes is not a batch of pairs")
        # Autocast would compute the similarities in half precision, where 1/temperature magnifies the rounding.
        with torch.autocast(texts.device.type, enabled=False):
            vectors, pairs, anchors = self._gather([_unit_vectors(column) for column in (texts, codes, *negatives)])
            if len(vectors) < 3:
                raise ValueError("a batch of one pair has no negatives: use batches of at least two pairs")
            # Every chunk needs all vectors. Their gradient is summed up on a leaf and sent on once, which is also one
            # collective operation instead of one per chunk.
            leaf = vectors.detach().requires_grad_() if with_backward else vectors
            total = torch.zeros((), dtype=vectors.dtype, device=vectors.device)
            for chunk in anchors.split(self.anchor_chunk_size):
                share = self._anchor_losses(leaf, pairs, chunk).sum() / len(anchors)
                if with_backward:
                    share.backward()
                total = total + (share.detach() if with_backward else share)
            if with_backward:
                vectors.backward(leaf.grad)
        return total

    def _gather(self, columns: list[Tensor]) -> tuple[Tensor, int, Tensor]:
        """Bring the columns of all processes together.

        Returns:
            The vectors, column by column, texts and codes first, [V, d]; N, the pairs; and the rows of this process's
            texts and codes, [2n].
        """
        rank, processes, pairs = 0, 1, len(columns[0])
        if self.gather_across_devices and get_world_size() > 1:
            rank, processes = get_rank(), get_world_size()
            columns = [all_gather_with_grad(column) for column in columns]
        rows = torch.arange(rank * pairs, (rank + 1) * pairs, device=columns[0].device)
        return torch.cat(columns), processes * pairs, torch.cat([rows, rows + processes * pairs])

    def _anchor_losses(self, vectors: Tensor, pairs: int, anchors: Tensor) -> Tensor:
        """L(i) of equation 2 for a chunk of anchors.

        Args:
            vectors: [V, d] of unit length; the positive of row i is row i+N modulo 2N.
            pairs: N.
            anchors: [c] rows of `vectors`, below 2N.

        Returns:
            [c]
        """
        others = len(vectors) - 2
        positives = (anchors + pairs) % (2 * pairs)
        scaled = vectors[anchors] / self.temperature
        positive = (scaled * vectors[positives]).sum(dim=1)
        negatives = (scaled @ vectors.T).scatter_(1, torch.stack([anchors, positives], dim=1), -torch.inf)
        if self.gamma != "none":
            log_gamma = negatives - negatives.logsumexp(dim=1, keepdim=True)
            if self.gamma == "mean":
                log_gamma = log_gamma + math.log(others)
            negatives = negatives + (log_gamma if self.gamma_gradient else log_gamma.detach())
        return -F.logsigmoid(positive - negatives.logsumexp(dim=1))

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for the model card."""
        return {
            "temperature": self.temperature,
            "gamma": self.gamma,
            "gamma_gradient": self.gamma_gradient,
            "mini_batch_size": self.mini_batch_size,
            "anchor_chunk_size": self.anchor_chunk_size,
            "gather_across_devices": self.gather_across_devices,
        }


def _unit_vectors(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=-1)
