"""Documents in a batch, and attention within each of them: the one place where an attention kernel is chosen.

Contract: a document is a run of tokens that attend to each other and to nothing else. One begins with each row of a
batch and, in packed rows, wherever the position restarts at 0; tokens that the attention mask drops belong to none.

Invariant: whatever kernel runs, a token's attention is that of its document alone.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.utils.generic import is_flash_attention_requested

try:
    from torch.nn.attention import varlen
except ImportError:  # torch < 2.10, where a copy of this file from the Hub may run
    varlen = None  # type: ignore[assignment]


def number_documents(position_ids: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Number the documents of a batch.

    Args:
        position_ids: Position of each token in its document, [B, T].
        kept: Which tokens the attention mask keeps, [B, T], bool.

    Returns:
        For each token the number of its document, counted from 1 over the whole batch, 0 for padding; [B, T], int64.
    """
    begins = kept & ((position_ids == 0) | (kept.cumsum(-1) == 1))
    return begins.flatten().cumsum(0).view_as(begins) * kept


@dataclass(frozen=True)
class Documents:
    """Where the documents of a batch stand in the unpadded layout: by rising length, equal lengths side by side.

    Attributes:
        tokens: For each of the N tokens its index in the flattened [B * T] batch; [N], int64.
        groups: (length, count) of documents, in order; their products sum to N.
        ends: Where each document begins, and N at last; [documents + 1], int32, on the device of the tokens.
        numbers: For each token of the batch the number of its document, 0 for padding; [B, T], int64.
    """

    tokens: torch.Tensor
    groups: tuple[tuple[int, int], ...]
    ends: torch.Tensor
    numbers: torch.Tensor

    @classmethod
    def find(cls, numbers: torch.Tensor) -> "Documents":
        """Find the documents of a batch by their numbers ([B, T], from `number_documents`)."""
        kept = numbers.flatten().nonzero().squeeze(-1)
        document = numbers.flatten()[kept] - 1
        lengths = document.bincount()
        tokens = kept[lengths[document].argsort(stable=True)]
        lengths = lengths.sort().values
        ends = nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        return cls(tokens, tuple(Counter(lengths.tolist()).items()), ends, numbers)

    @property
    def longest(self) -> int:
        """Length of the longest document in tokens."""
        return self.groups[-1][0]

    @cached_property
    def mask(self) -> torch.Tensor:
        """Which tokens of the batch see each other; padding sees padding, no row is all False. [B, 1, T, T], bool."""
        return (self.numbers[:, :, None] == self.numbers[:, None, :]).unsqueeze(1)

    def unpad(self, batch: torch.Tensor) -> torch.Tensor:
        """Take the documents' tokens out of a batch: [B, T, ...] to [1, N, ...]."""
        return batch.flatten(0, 1).index_select(0, self.tokens).unsqueeze(0)

    def pad(self, states: torch.Tensor) -> torch.Tensor:
        """Put states back into their rows, zeros elsewhere: [1, N, ...] to [B, T, ...]."""
        padded = states.new_zeros(self.numbers.numel(), *states.shape[2:])
        return padded.index_copy_(0, self.tokens, states[0]).unflatten(0, self.numbers.shape)


@dataclass(frozen=True)
class ListedDocuments:
    """Documents that come with the batch, one after the other, every place of it in one of them.

    What `Documents.find` has to ask the device for, the caller knows: so nothing waits, and no shape depends on values.

    Attributes:
        ends: Where each document begins, and B * T at last; repeated where a document is empty. [documents + 1], int32.
        longest: No document has more tokens.
        rows: Rows of the batch, B.
    """

    ends: torch.Tensor
    longest: int
    rows: int

    def unpad(self, batch: torch.Tensor) -> torch.Tensor:
        """Lay the rows end to end: [B, T, ...] to [1, B * T, ...]."""
        return batch.flatten(0, 1).unsqueeze(0)

    def pad(self, states: torch.Tensor) -> torch.Tensor:
        """Give each row its states back: [1, B * T, ...] to [B, T, ...]."""
        return states[0].unflatten(0, (self.rows, -1))


# What a device can do is no part of a graph.
@torch.compiler.assume_constant_result
def has_varlen_kernel(device: torch.device, dtype: torch.dtype, head_dim: int, dropout: float) -> bool:
    """Whether torch's variable-length kernel (CUDA, half precision, no dropout) can compute an attention."""
    return (
        varlen is not None
        and device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and head_dim % 8 == 0
        and head_dim <= 256
        and dropout == 0
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def takes_listed(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype, training: bool) -> bool:
    """Whether attention can take `ListedDocuments`: by flash attention if told to use it, or by torch's kernel.

    Args:
        config: That of the encoder.
        device: Where it computes.
        dtype: In which type, that of autocast where it is on.
        training: Whether dropout is in force.
    """
    if is_flash_attention_requested(config):
        return True
    head_dim = config.hidden_size // config.num_attention_heads
    dropout = config.attention_dropout_prob if training else 0.0
    return config._attn_implementation == "sdpa" and has_varlen_kernel(device, dtype, head_dim, dropout)


def prefers_one_call(device: torch.device) -> bool:
    """Whether a call costs a device more than padding: all but CPUs wait for the launch of each small kernel."""
    return device.type != "cpu"


def attend_by_document(
    attention: Callable,
    documents: Documents | ListedDocuments,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each document of the unpadded layout.

    The first of these that can does it:

    * flash attention, where the model is told to use it, and torch's variable-length kernel: one call, no padding;
    * on devices other than CPUs (full precision, attention dropout in training): one call over the rows of the batch,
      padded for it, with a mask;
    * on CPUs: one call for all documents of one length, no padding and no mask.

    Args:
        attention: Attention function in transformers' interface.
        documents: Where the documents stand.
        module: The attention module, for `attention`.
        query: [1, heads, N, head_dim], as are `key` and `value`.
        key: See `query`.
        value: See `query`.
        dropout: Dropout of the attention weights that is now in force.
        **kwargs: For `attention`.

    Returns:
        The attended values [1, N, heads, head_dim]; and None, since no kernel of this layout gives weights.
    """
    if not query.shape[2]:  # the mask hides every token, and kernels refuse to attend to nothing
        return value.transpose(1, 2), None
    ends, longest = documents.ends, documents.longest
    if is_flash_attention_requested(module.config):
        kwargs |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}
        return attention(module, query, key, value, None, dropout=dropout, **kwargs)[0], None
    if has_varlen_kernel(query.device, query.dtype, query.shape[-1], dropout):
        flat = (states[0].transpose(0, 1) for states in (query, key, value))
        varlen_attn: Callable = varlen.varlen_attn
        return varlen_attn(*flat, ends, ends, longest, longest)[None], None
    if isinstance(documents, ListedDocuments):
        raise ValueError("documents that come with the batch need an attention of variable length: see `takes_listed`")
    if prefers_one_call(query.device):
        rows = (documents.pad(states.transpose(1, 2)).transpose(1, 2) for states in (query, key, value))
        attended = attention(module, *rows, documents.mask, dropout=dropout, **kwargs)[0]
        return documents.unpad(attended), None
    groups = []
    sizes = [length * count for length, count in documents.groups]
    # Split at once: the gradients of so many slices would be so many tensors of full size.
    sides = (states[0].split(sizes, dim=1) for states in (query, key, value))
    for (length, count), *group in zip(documents.groups, *sides, strict=True):
        rows = (states.unflatten(1, (count, length)).transpose(0, 1) for states in group)
        groups.append(attention(module, *rows, None, dropout=dropout, **kwargs)[0].flatten(0, 1))
    return torch.cat(groups)[None], None


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend in plain matrix products, the reference for every kernel.

    Args:
        module: The attention module; tells whether it trains.
        query: [B, heads, T, head_dim], as are `key` and `value`.
        key: See `query`.
        value: See `query`.
        attention_mask: Added to the scores, [B, 1, T, T].
        scaling: Factor of the scores.
        dropout: Dropout of the attention weights.
        **kwargs: Not used.

    Returns:
        The attended values [B, T, heads, head_dim] and the weights [B, heads, T, T].
    """
    scores = torch.matmul(query, key.transpose(-2, -1)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights
