"""Mini-batches by length, for encoders that compute padding like any other token.

Contract: after `bucket_by_length(encoder)` the encoder computes a padded batch in pieces of rows of similar length,
each cut to its longest row, and returns the states in the order of the batch. Callers, losses and gradient caching see
no difference but the time.

Invariant: the states of tokens that count are those of the whole batch, beyond rounding; those of padding are zero.
"""

from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

CPU_TOKENS = 3072
"""Tokens of a piece at most, padding included: as many as fast caches hold the states of."""

ACCELERATOR_TOKENS = 1 << 17
"""The same, where only large pieces fill the device: a few for a batch."""

_ENOUGH = 0.25
"""The share of a full piece from which matrix products are fast, so that a piece may end where rows get shorter."""

_SHORTER = 0.875
"""A row that is shorter than this share of the longest of its piece costs more padding than a new piece would."""


def bucket_by_length(encoder: PreTrainedModel, tokens: int = CPU_TOKENS) -> None:
    """Let an encoder compute its batches in pieces of similar length from now on.

    Only the states of the last layer are returned.

    Args:
        encoder: takes `input_ids` and `attention_mask`, both [B, T], and returns `last_hidden_state`, [B, T, H].
        tokens: how many a piece holds at most, padding included, unless a single row is longer.
    """
    whole = encoder.forward

    @wraps(whole)
    def in_pieces(
        input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **others: Any
    ) -> BaseModelOutput | Any:
        if input_ids is None or attention_mask is None:
            return whole(input_ids=input_ids, attention_mask=attention_mask, **others)
        width = input_ids.shape[1]
        # Up to the last token that counts: what stands before it, dropped or padded, keeps the others in their places.
        lengths = (attention_mask.bool() * torch.arange(1, width + 1, device=input_ids.device)).amax(dim=1).clamp(min=1)
        order = torch.argsort(lengths, descending=True, stable=True)
        falling = lengths[order].tolist()
        states, begin = [], 0
        for rows in order.split(_piece_sizes(falling, tokens)):
            longest = falling[begin]
            begin += len(rows)
            piece = {
                key: value[rows, :longest] if isinstance(value, Tensor) and value.shape == input_ids.shape else value
                for key, value in {"input_ids": input_ids, "attention_mask": attention_mask, **others}.items()
            }
            kept = piece["attention_mask"][..., None]
            found = whole(**piece).last_hidden_state
            states.append(F.pad(found * kept.to(found.dtype), (0, 0, 0, width - longest)))
        return BaseModelOutput(last_hidden_state=torch.cat(states)[torch.argsort(order)])  # type: ignore[arg-type]

    encoder.forward = in_pieces


def _piece_sizes(lengths: list[int], tokens: int) -> list[int]:
    """How many rows, of lengths that fall, each piece takes."""
    sizes = [0]
    longest = lengths[0]
    for length in lengths:
        full = sizes[-1] and (sizes[-1] + 1) * longest > tokens
        if full or (sizes[-1] * longest >= _ENOUGH * tokens and length < _SHORTER * longest):
            sizes.append(0)
            longest = length
        sizes[-1] += 1
    return sizes
