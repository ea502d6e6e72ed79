"""Torch's kernel for attention of variable length, in plain products on the CPU, where torch has none.

Its operators stay what they are: how they are traced, what shapes they claim, how gradients go through them. So what
reaches CUDA can be traced and computed without a card. The kernels remain registered until the process ends.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import varlen


@cache
def register() -> None:
    """Give torch's operators a kernel on the CPU."""
    varlen._varlen_attn.register_kernel("cpu")(_forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(_backward)


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return (torch.einsum("qhd,khd->hqk", query.float(), key.float()) / query.shape[-1] ** 0.5).softmax(-1)


def _forward(query: Tensor, key: Tensor, value: Tensor, ends: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    out = query.new_zeros(query.shape)
    for begin, end in pairwise(ends.tolist()):
        weights = _weights(query[begin:end], key[begin:end])
        out[begin:end] = torch.einsum("hqk,khd->qhd", weights, value[begin:end].float()).to(out.dtype)
    return out, torch.zeros(query.shape[1], len(query)), torch.zeros(2, dtype=torch.uint64)


def _backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, log_sums: Tensor, ends: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    gradients = tuple(states.new_zeros(states.shape) for states in (query, key, value))
    for begin, end in pairwise(ends.tolist()):
        g, q, k, v = (states[begin:end].float() for states in (gradient, query, key, value))
        weights = _weights(q, k)
        of_weights = torch.einsum("qhd,khd->hqk", g, v)
        of_scores = weights * (of_weights - (weights * of_weights).sum(-1, keepdim=True)) / query.shape[-1] ** 0.5
        pieces = (
            torch.einsum("hqk,khd->qhd", of_scores, k),
            torch.einsum("hqk,qhd->khd", of_scores, q),
            torch.einsum("hqk,qhd->khd", weights, g),
        )
        for whole, piece in zip(gradients, pieces, strict=True):
            whole[begin:end] = piece.to(whole.dtype)
    return gradients
