"""Masks of Stage I: random tokens or all identifiers, drawn when a batch is put together.

Contract: `IdentifierMaskingCollator` turns packed rows (see `shards`) into the padded tensors that
`CodeSageForMaskedLM` takes. A document is the example of the paper (section 3.1): each one has, with even odds, 15 % of
its tokens masked, or all of its identifiers, one mask token for each of their tokens ("deobfuscation"). A document
without identifiers always has random masks. Chosen tokens become the mask token; BERT's 80-10-10 is an option.

Invariant: the mask of a row is a pure function of (seed, epoch, row id). It does not depend on the other rows of the
batch, on their order, on padding, on the process, or on what was drawn before: so a resumed run, with any number of
loader processes, sees the masks that the uninterrupted run would have seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from ...common.randomness import Words, derive, uniform

Mask = npt.NDArray[np.bool_]

IGNORED = -100
"""Label of a token that is not to be predicted."""

# What the words derived from the key of a row, and from the key of a document, are used for.
_TOKEN, _OUTCOME, _REPLACEMENT, _DOCUMENT = range(4)
_KIND, _RATE, _NAME = range(3)


class IdentifierMaskingCollator:
    """Masks packed rows and pads them to one length.

    A row is a mapping with the keys `input_ids` and `identifier_ids` [T], `document_lengths` (which sum to T), `row_id`
    and `epoch`: what `EpochStream` gives.

    Attributes:
        tokenizer: gives the ids of the mask, padding and end tokens and the size of the vocabulary. The end token and
            padding are never masked.
        seed: seed of all masks.
        deobfuscation_share: probability that a document has its identifiers masked and not random tokens.
        mask_rate: probability that a token is masked in a document with random masks, or the two ends of a range from
            which each document draws its own (Figure 7 of the paper has 0.1 to 0.5).
        identifier_share: probability that a name is masked in a document with masked identifiers; all its occurrences
            are masked together.
        random_share: probability that a token chosen by a random mask becomes a random token, and not the mask token.
        keep_share: probability that a token chosen by a random mask stays as it is. (BERT's 80-10-10 is 0.1 and 0.1.
            Identifiers are always replaced by masks: one that stays would give the others away.)
        length: length of all batches; that of the longest row if not given.

    Raises:
        ValueError: a share outside 0 to 1, or a tokenizer without one of the tokens.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        deobfuscation_share: float = 0.5,
        mask_rate: float | tuple[float, float] = 0.15,
        identifier_share: float = 1.0,
        random_share: float = 0.0,
        keep_share: float = 0.0,
        length: int | None = None,
    ) -> None:
        self.mask_rate = mask_rate if isinstance(mask_rate, tuple) else (mask_rate, mask_rate)
        for name, share in (
            ("deobfuscation_share", deobfuscation_share),
            ("mask_rate", self.mask_rate[0]),
            ("mask_rate", self.mask_rate[1]),
            ("identifier_share", identifier_share),
            ("random_share", random_share),
            ("keep_share", keep_share),
            ("random_share + keep_share", random_share + keep_share),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {share}")
        if self.mask_rate[0] > self.mask_rate[1]:
            raise ValueError(f"mask_rate must be a number or (lowest, highest), not {mask_rate}")
        for name in ("mask_token", "pad_token", "eos_token"):
            if getattr(tokenizer, f"{name}_id") is None:
                raise ValueError(f"the tokenizer has no {name}: masks can not be drawn with it")
        self.mask_id, self.pad_id, self.end_id = tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id
        self.ordinary_ids = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        self.seed = seed
        self.deobfuscation_share = deobfuscation_share
        self.identifier_share = identifier_share
        self.random_share = random_share
        self.keep_share = keep_share
        self.length = length

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Mask and pad a batch.

        Returns:
            int64 tensors [rows, length]: `input_ids`, `attention_mask` (0 for padding), `position_ids` (from 0 in each
            document) and `labels` (the original id of a chosen token, elsewhere -100).

        Raises:
            ValueError: a row whose documents do not sum to its length, or that is longer than `length`.
        """
        batch = self._pad(rows)
        random, obfuscated = self._choose(batch)
        chosen = random | obfuscated
        arrays = {
            "input_ids": self._corrupt(batch, chosen, random),
            "attention_mask": batch.real.astype(np.int64),
            "position_ids": batch.positions(),
            "labels": np.where(chosen, batch.tokens, IGNORED),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _pad(self, rows: Sequence[Mapping[str, Any]]) -> "_Batch":
        sizes = np.array([len(row["input_ids"]) for row in rows])
        length = self._length(int(sizes.max()))
        tokens = np.full((len(rows), length), self.pad_id, np.int64)
        names = np.zeros((len(rows), length), np.int64)
        for i, row in enumerate(rows):
            tokens[i, : sizes[i]] = row["input_ids"]
            names[i, : sizes[i]] = row["identifier_ids"]
        row_keys = derive(
            derive(self.seed, np.array([row["epoch"] for row in rows])), np.array([row["row_id"] for row in rows])
        )
        parts = [(row["document_lengths"], [length - size]) for row, size in zip(rows, sizes, strict=True)]
        documents = np.concatenate(list(chain.from_iterable(parts)), dtype=np.int64, casting="unsafe")
        counts = np.array([len(row["document_lengths"]) + 1 for row in rows])
        first = np.cumsum(counts) - counts
        if (np.add.reduceat(documents, first) != length).any():
            raise ValueError("the lengths of a row's documents do not sum to the length of the row: prepare it again")
        places = np.arange(len(documents)) - np.repeat(first, counts)
        document_keys = derive(np.repeat(derive(row_keys, _DOCUMENT), counts), places)
        return _Batch(tokens, names, np.arange(length) < sizes[:, None], documents, row_keys, document_keys)

    def _length(self, longest: int) -> int:
        if self.length is not None and longest > self.length:
            raise ValueError(f"a row of {longest} tokens is longer than {self.length}, the length of all batches")
        return self.length or longest

    def _choose(self, batch: "_Batch") -> tuple[Mask, Mask]:
        """Choose tokens: those of random masks, and those of obfuscated identifiers."""
        keys = batch.document_keys
        named = np.maximum.reduceat(np.append(batch.names, 0), batch.starts) > 0
        obfuscated = named & (uniform(derive(keys, _KIND)) < self.deobfuscation_share)
        lowest, highest = self.mask_rate
        rates = lowest + (highest - lowest) * uniform(derive(keys, _RATE))
        may = batch.real & (batch.tokens != self.end_id)
        random = may & (uniform(batch.token_words(_TOKEN)) < batch.spread(np.where(obfuscated, 0, rates)))
        hidden = may & (batch.names > 0) & batch.spread(obfuscated)
        if self.identifier_share < 1:
            hidden &= uniform(derive(batch.spread(derive(keys, _NAME)), batch.names)) < self.identifier_share
        return random, hidden

    def _corrupt(self, batch: "_Batch", chosen: Mask, random: Mask) -> npt.NDArray[np.int64]:
        """Put the mask token in the place of chosen tokens, or what `random_share` and `keep_share` ask for."""
        tokens = np.where(chosen, self.mask_id, batch.tokens)
        if self.random_share or self.keep_share:
            outcome = uniform(batch.token_words(_OUTCOME))
            kept = random & (outcome < self.keep_share)
            tokens[kept] = batch.tokens[kept]
            swapped = random & (outcome >= 1 - self.random_share)
            words = batch.token_words(_REPLACEMENT)[swapped]
            tokens[swapped] = self.ordinary_ids[words % np.uint64(len(self.ordinary_ids))]
        return tokens


@dataclass(frozen=True)
class _Batch:
    """R padded rows of length L, and their D documents.

    The padding of a row is one more document at its end, empty in a full row, so that the documents fill the batch.

    Attributes:
        tokens: Token ids [R, L].
        names: Identifier ids [R, L], 0 for none.
        real: Whether a place holds a token and not padding [R, L].
        documents: Lengths of the documents [D].
        row_keys: Keys from which the random words of a row are derived [R].
        document_keys: Keys from which the random words of a document are derived [D].
    """

    tokens: npt.NDArray[np.int64]
    names: npt.NDArray[np.int64]
    real: Mask
    documents: npt.NDArray[np.int64]
    row_keys: Words
    document_keys: Words

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where the documents begin, counted over all rows [D]."""
        return np.cumsum(self.documents) - self.documents

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give every token the value of its document: from [D] to [R, L]."""
        return np.repeat(values, self.documents).reshape(self.tokens.shape)

    def positions(self) -> npt.NDArray[np.int64]:
        """Count the tokens of each document from 0 [R, L]."""
        return np.arange(self.tokens.size).reshape(self.tokens.shape) - self.spread(self.starts)

    def token_words(self, use: int) -> Words:
        """Draw a random word for every token [R, L], which does not depend on L."""
        return derive(derive(self.row_keys, use)[:, None], np.arange(self.tokens.shape[1]))
