"""Rows of tokens laid end to end, for computation without padding.

Contract: `flatten` turns a padded batch into what the sentence-transformers library makes of one for kernels of
variable length; its pooling and its cached gradients read it, and our encoder computes each document by itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def flatten(input_ids_BT: Tensor, attention_mask_BT: Tensor) -> dict[str, Tensor]:
    """Lay the tokens that count end to end.

    Args:
        input_ids_BT: token ids, [B, T].
        attention_mask_BT: 1 for tokens that count, at least one in each row, [B, T].

    Returns:
        `input_ids`, `position_ids` (which restart at 0) and `seq_idx` (the row of each token), [1, N], and
        `cu_seq_lens_q`, where in N each row begins and the last one ends, [B + 1].
    """
    kept_BT = attention_mask_BT.bool()
    return {
        "input_ids": input_ids_BT[kept_BT][None],
        "position_ids": (kept_BT.cumsum(1) - 1)[kept_BT][None],
        "seq_idx": kept_BT.nonzero()[:, 0][None],
        "cu_seq_lens_q": F.pad(kept_BT.sum(1).cumsum(0), (1, 0)).to(torch.int32),
    }
