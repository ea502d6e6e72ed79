"""Which tokens Stage I masks: random ones, or all identifiers of a document.

Contract: `Masking` holds the settings, `Masking.draw` masks a batch of padded rows. A document is the example of the
paper (section 3.1): each one has, with even odds, 15 % of its tokens masked, or all of its identifiers, one mask token
for each of their tokens ("deobfuscation"). A document without identifiers always has random masks. Chosen tokens become
the mask token; BERT's 80-10-10 is an option.

Invariant: the masks of a document are a pure function of the keys that the caller derives for it (from the seed, the
epoch, and what identifies the document): not of the other documents of its row or its batch, not of padding, nor of
what was drawn before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from ...common.checks import require_share
from ...common.randomness import Words, derive, uniform

Mask = npt.NDArray[np.bool_]

IGNORED = -100
"""Label of a token that is not to be predicted."""

# What the words derived from the key of a row, and from the key of a document, are used for.
_TOKEN, _OUTCOME, _REPLACEMENT, DOCUMENT = range(4)
_KIND, _RATE, _NAME, WINDOW = range(4)


@dataclass(frozen=True)
class Batch:
    """R padded rows of length L, and their D documents.

    The padding of a row is one more document at its end, empty in a full row, so that the documents fill the batch.

    Attributes:
        tokens: Token ids [R, L].
        names: Identifier ids [R, L], 0 for none.
        may: Whether a token may be masked: neither padding nor special [R, L].
        documents: Lengths of the documents [D].
        document_keys: Keys from which the random words of a document are derived [D].
        token_keys: Keys from which the random words of a token are derived, broadcast against [R, L].
        token_places: The number of a token among those with its key, broadcast against [R, L].
    """

    tokens: npt.NDArray[np.int64]
    names: npt.NDArray[np.int64]
    may: Mask
    documents: npt.NDArray[np.int64]
    document_keys: Words
    token_keys: Words
    token_places: npt.NDArray[np.int64]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where the documents begin, counted over all rows [D]."""
        return np.cumsum(self.documents) - self.documents

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give every token the value of its document: from [D] to [R, L]."""
        return np.repeat(values, self.documents).reshape(self.tokens.shape)

    def words(self, use: int) -> Words:
        """Draw a random word for every token [R, L], which does not depend on L."""
        return derive(derive(self.token_keys, use), self.token_places)


def positions(documents: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Count the tokens of each document from 0, in the given shape [R, L]."""
    starts = np.cumsum(documents) - documents
    return (np.arange(int(documents.sum())) - np.repeat(starts, documents)).reshape(shape)


class Masking:
    """Draws the masks of a batch.

    Attributes:
        tokenizer: gives the ids of the mask and padding tokens and the size of the vocabulary.
        deobfuscation_share: probability that a document has its identifiers masked and not random tokens.
        mask_rate: probability that a token is masked in a document with random masks, or the two ends of a range from
            which each document draws its own (Figure 7 of the paper has 0.1 to 0.5).
        identifier_share: probability that a name is masked in a document with masked identifiers; all its occurrences
            are masked together.
        random_share: probability that a token chosen by a random mask becomes a random token, and not the mask token.
        keep_share: probability that a token chosen by a random mask stays as it is. (BERT's 80-10-10 is 0.1 and 0.1.
            Identifiers are always replaced by masks: one that stays would give the others away.)

    Raises:
        ValueError: a share outside 0 to 1, or a tokenizer without a mask or padding token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        deobfuscation_share: float = 0.5,
        mask_rate: float | tuple[float, float] = 0.15,
        identifier_share: float = 1.0,
        random_share: float = 0.0,
        keep_share: float = 0.0,
    ) -> None:
        self.deobfuscation_share = deobfuscation_share
        self.mask_rate = mask_rate if isinstance(mask_rate, tuple) else (mask_rate, mask_rate)
        self.identifier_share = identifier_share
        self.random_share = random_share
        self.keep_share = keep_share
        require_share(self, "deobfuscation_share", "mask_rate", "identifier_share", "random_share", "keep_share")
        if random_share + keep_share > 1:
            raise ValueError(f"random_share + keep_share must be at most 1, not {random_share + keep_share}")
        if self.mask_rate[0] > self.mask_rate[1]:
            raise ValueError(f"mask_rate must be a number or (lowest, highest), not {mask_rate}")
        for name in ("mask_token", "pad_token"):
            require_token(tokenizer, name)
        self.mask_id, self.pad_id = tokenizer.mask_token_id, tokenizer.pad_token_id
        self.ordinary_ids = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)

    def obfuscates(self, document_keys: Words) -> Mask:
        """Say of which documents the identifiers are masked, if they have any [D]."""
        return uniform(derive(document_keys, _KIND)) < self.deobfuscation_share

    def draw(self, batch: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Mask a batch.

        Returns:
            The masked token ids, and the labels: the original id of a chosen token, elsewhere -100. Both [R, L].
        """
        random, obfuscated = self._choose(batch)
        chosen = random | obfuscated
        return self._corrupt(batch, chosen, random), np.where(chosen, batch.tokens, IGNORED)

    def _choose(self, batch: Batch) -> tuple[Mask, Mask]:
        """Choose tokens: those of random masks, and those of obfuscated identifiers."""
        keys = batch.document_keys
        named = np.maximum.reduceat(np.append(batch.names, 0), batch.starts) > 0
        obfuscated = named & self.obfuscates(keys)
        lowest, highest = self.mask_rate
        rates = lowest + (highest - lowest) * uniform(derive(keys, _RATE))
        random = batch.may & (uniform(batch.words(_TOKEN)) < batch.spread(np.where(obfuscated, 0, rates)))
        hidden = batch.may & (batch.names > 0) & batch.spread(obfuscated)
        if self.identifier_share < 1:
            hidden &= uniform(derive(batch.spread(derive(keys, _NAME)), batch.names)) < self.identifier_share
        return random, hidden

    def _corrupt(self, batch: Batch, chosen: Mask, random: Mask) -> npt.NDArray[np.int64]:
        """Put the mask token in the place of chosen tokens, or what `random_share` and `keep_share` ask for."""
        tokens = np.where(chosen, self.mask_id, batch.tokens)
        if self.random_share or self.keep_share:
            outcome = uniform(batch.words(_OUTCOME))
            kept = random & (outcome < self.keep_share)
            tokens[kept] = batch.tokens[kept]
            swapped = random & (outcome >= 1 - self.random_share)
            words = batch.words(_REPLACEMENT)[swapped]
            tokens[swapped] = self.ordinary_ids[words % np.uint64(len(self.ordinary_ids))]
        return tokens


def require_token(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer that lacks a special token, such as `mask_token`.

    Raises:
        ValueError: it does.
    """
    if getattr(tokenizer, f"{name}_id") is None:
        raise ValueError(f"the tokenizer has no {name}: masks cannot be drawn with it")
