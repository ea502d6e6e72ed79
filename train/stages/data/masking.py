"""Masks of Stage I over prepared rows, drawn when a batch is put together.

Contract: `IdentifierMaskingCollator` turns packed rows (see `packing`) into the padded tensors that
`CodeSageForMaskedLM` takes. What is masked, and how often, is said in `masks`. Rows of plain text, without preparation
and for any encoder, are the business of `text_masking`.

Invariant: the mask of a row is a pure function of (seed, epoch, row id). It does not depend on the other rows of the
batch, on their order, on padding, on the process, or on what was drawn before: so a resumed run, with any number of
loader processes, sees the masks that the uninterrupted run would have seen.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from ...common.randomness import derive
from .masks import DOCUMENT, IGNORED, Batch, Masking, positions, require_token

_DOCUMENTS_PER_ROW = 8
_FEWEST_PREDICTED = 8
"""One position in so many is predicted, at least."""


def documents_of(lengths: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int32]:
    """List where the documents of a batch begin, in a list whose length seldom changes.

    Args:
        lengths: lengths of the documents, which fill the batch [D].
        rows: rows of the batch.

    Returns:
        Their beginnings and the end of the last, [C + 1], where C is 8 for each row, or twice that, four times and so
        on, until all find room; the rest are empty documents at the end.
    """
    room = rows * _DOCUMENTS_PER_ROW
    while room < len(lengths):
        room *= 2
    ends = np.full(room + 1, lengths.sum(), np.int32)
    ends[0] = 0
    ends[1 : len(lengths) + 1] = lengths.cumsum()
    return ends


def positions_of(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """List the positions to predict, in a list whose length seldom changes.

    Args:
        labels: -100 at the other positions [R, L].

    Returns:
        Indices into the flattened labels [M], where M is the first of an eighth, a quarter, a half or all of them that
        suffices; the first others fill it up. Each stands there once.
    """
    ignored = labels.ravel() == IGNORED
    predicted, others = np.flatnonzero(~ignored), np.flatnonzero(ignored)
    room = max(1, labels.size // _FEWEST_PREDICTED)
    while room < len(predicted):
        room = min(2 * room, labels.size)
    return np.concatenate([predicted, others[: room - len(predicted)]])


class IdentifierMaskingCollator:
    """Masks packed rows and pads them to one length.

    A row is a mapping with the keys `input_ids` and `identifier_ids` [T], `document_lengths` (which sum to T), `row_id`
    and `epoch`: what `EpochStream` gives.

    Args:
        tokenizer: gives the ids of the mask, padding and end tokens and the size of the vocabulary. The end token and
            padding are never masked.
        seed: seed of all masks.
        deobfuscation_share: as the settings that follow it, described in `Masking`.
        mask_rate: see there.
        identifier_share: see there.
        random_share: see there.
        keep_share: see there.
        length: length of all batches; that of the longest row if not given.
        listed: list the documents and the positions to predict, too, so that the model need not look for them, and no
            shape depends on values: see `documents_of` and `positions_of`.

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
        listed: bool = False,
    ) -> None:
        self.masking = Masking(tokenizer, deobfuscation_share, mask_rate, identifier_share, random_share, keep_share)
        require_token(tokenizer, "eos_token")
        self.end_id = tokenizer.eos_token_id
        self.seed = seed
        self.length = length
        self.listed = listed

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mask and pad a batch.

        Returns:
            int64 tensors [rows, length]: `input_ids`, `attention_mask` (0 for padding), `position_ids` (from 0 in each
            document) and `labels` (the original id of a chosen token, elsewhere -100). If `listed`, also
            `cu_seq_lens_q`, `max_length_q` and `masked_lm_positions`, as `CodeSageForMaskedLM` takes them.

        Raises:
            ValueError: a row whose documents do not sum to its length, or that is longer than `length`.
        """
        sizes = np.array([len(row["input_ids"]) for row in rows])
        length = self._length(int(sizes.max()))
        tokens = np.full((len(rows), length), self.masking.pad_id, np.int64)
        names = np.zeros((len(rows), length), np.int64)
        for i, row in enumerate(rows):
            tokens[i, : sizes[i]] = row["input_ids"]
            names[i, : sizes[i]] = row["identifier_ids"]
        real = np.arange(length) < sizes[:, None]
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
        document_keys = derive(np.repeat(derive(row_keys, DOCUMENT), counts), places)
        input_ids, labels = self.masking.draw(
            Batch(
                tokens,
                names,
                may=real & (tokens != self.end_id),
                documents=documents,
                document_keys=document_keys,
                token_keys=row_keys[:, None],
                token_places=np.arange(length),
            )
        )
        arrays: dict[str, npt.NDArray[Any]] = {
            "input_ids": input_ids,
            "attention_mask": real.astype(np.int64),
            "position_ids": positions(documents, tokens.shape),
            "labels": labels,
        }
        batch: dict[str, Any] = {}
        if self.listed:
            arrays |= {"cu_seq_lens_q": documents_of(documents, len(rows)), "masked_lm_positions": positions_of(labels)}
            batch["max_length_q"] = length
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | batch

    def _length(self, longest: int) -> int:
        if self.length is not None and longest > self.length:
            raise ValueError(f"a row of {longest} tokens is longer than {self.length}, the length of all batches")
        return self.length or longest
