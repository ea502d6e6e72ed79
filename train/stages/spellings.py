"""Spellings of a word learn together: `Index`, ` index`, `_INDEX` are tokens of their own, but mean about the same.

Contract: `join_spellings(embedding, spellings(tokenizer))` gives all spellings of a word the vector of the commonest
one, and from then on adds the gradients of all of them to that of each. A rare spelling so learns at the pace of the
frequent ones, and an optimizer that scales gradients, such as Adam, keeps them close.

Invariants: it has no parameters and no state that a checkpoint would have to hold, and it is linear in the gradients:
these may be cached, accumulated or gathered first.
"""

import string
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

# A space as byte-level BPE and SentencePiece write it, and what parts the words of an identifier.
_BEFORE = "Ġ▁_"
# Letters beyond ASCII stand for bytes in byte-level BPE, and have no case.
_CASE = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def spellings(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Name for every token the first token that spells the same word, which is the commonest in a vocabulary of BPE.

    Words are the same that differ in nothing but ASCII case and the spaces and underscores before them.

    Returns:
        Token ids, int64, [V].
    """
    first: dict[str | int, int] = {}
    tokens = enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    return torch.tensor([
        # Vocabularies may have holes: a number without a token stands for itself.
        first.setdefault((token or "").lstrip(_BEFORE).translate(_CASE) or token or number, number)
        for number, token in tokens
    ])  # fmt: skip


def join_spellings(embedding: nn.Embedding, spellings_V: Tensor) -> None:
    """Let rows that spell a word start alike, and each learn from the gradients of all of them.

    Args:
        embedding: the token embedding, [R, H], of V rows or more; rows beyond the vocabulary stay as they are.
        spellings_V: as of `spellings`, [V].
    """
    with torch.no_grad():
        embedding.weight[: len(spellings_V)] = embedding.weight[spellings_V]
    embedding.weight.register_hook(partial(_shared, spellings_V))


def _shared(spellings_V: Tensor, gradient_RH: Tensor) -> Tensor:
    """Add to every row of a gradient the sum over all rows of its word."""
    words_V, shared_RH = spellings_V.to(gradient_RH.device), gradient_RH.clone()
    known_VH = gradient_RH[: len(words_V)]
    shared_RH[: len(words_V)] += torch.zeros_like(known_VH).index_add_(0, words_V, known_VH)[words_V]
    return shared_RH
