"""Builds the batches of Stage II: chooses the pairs, and the form of each summary and function.

Contract: `PairBatchSampler` is a batch sampler and `PairCollator` a data collator of the sentence-transformers trainer,
for a dataset with the text columns summary, nameless_summary, documentation, code and hard_positive, and language.

Invariants of every *global* batch, that is of the consecutive batches that the processes take in one step:

* its pairs are of one language, unless that is switched off;
* no two of its pairs have the same summary, the same code or the same hard positive: what is equal is no negative;
* it is full. How many batches an epoch has is the same in every epoch, so that a step number says what was seen.

The batches of an epoch are a function of the data, the seed and the epoch; the form of a row is one of the seed, the
epoch and the row.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.util.distributed import get_world_size
from torch import Tensor
from torch.utils.data import get_worker_info

from ...common.randomness import Words, derive, permutation
from .forms import as_question, without_identifiers

LANGUAGE = "language"

Rows = NDArray[np.int64]

_PARTS_OF_A_NAME = re.compile(r"[a-z0-9][A-Z]|[A-Za-z0-9]_+[A-Za-z0-9]")
_VERB = re.compile(r"\w+s\b")


def without_name(summary: str, name: str) -> str:
    """Take the function's own name off the beginning of its summary, where it is the subject of the sentence.

    "NewSet creates a set." becomes "Creates a set.": Go documents so, and a model could find the function by the name
    alone. A name of one word may be the verb ("merge two sets"), so it goes only before another ("merge merges").

    Args:
        summary: the first sentence of the documentation.
        name: the function's name.

    Returns:
        The rest with a capital, or the summary as it is.
    """
    rest = summary.removeprefix(name)
    match = re.match(r"(?:\(\))?[:,]?\s+(?=\w)", rest) if len(rest) < len(summary) else None
    if match is None or not (_PARTS_OF_A_NAME.search(name) or _VERB.match(rest, match.end())):
        return summary
    return rest[match.end()].upper() + rest[match.end() + 1 :]


class PairBatchSampler(DefaultBatchSampler):
    """Deals the pairs of a dataset to full batches of one language without duplicates.

    Pairs that share a value, directly or through other pairs, form a *kin*. In every epoch the kins of a language are
    put into a random order and their pairs are dealt to that language's K batches in turn, as cards are: the pairs of a
    kin follow each other, so no batch gets two, provided that a kin has at most K. Of larger kins, K pairs take part,
    others in every epoch. K is the largest number for which all batches become full; the pairs that are left over sit
    out, others in every epoch. So languages are mixed in proportion to their sizes.

    Args:
        dataset: the pairs. All columns but `language` must hold texts and are compared for duplicates.
        batch_size: pairs in a batch of one process.
        drop_last: without effect, incomplete batches are always dropped; here for the trainer, like the next two.
        valid_label_columns: without effect.
        generator: without effect.
        seed: seed of the order.
        one_language: keep the languages apart.
        processes: processes that take a batch each in every step; those of torch.distributed if None.

    Attributes:
        global_batch_size: pairs in a step.
        rows_per_epoch: pairs that take part in an epoch.
        left_out: languages with too few different pairs for one batch, and their numbers of pairs.

    Raises:
        ValueError: the dataset has no language column though languages are to be kept apart, or cannot fill one batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        drop_last: bool = True,
        valid_label_columns: list[str] | None = None,
        generator: torch.Generator | None = None,
        seed: int = 0,
        one_language: bool = True,
        processes: int | None = None,
    ) -> None:
        super().__init__(dataset, batch_size, True, valid_label_columns, generator, seed)
        self.processes = processes or get_world_size()
        self.global_batch_size = batch_size * self.processes
        if one_language and LANGUAGE not in dataset.column_names:
            raise ValueError(f"batches of one language need a column {LANGUAGE!r}, there are {dataset.column_names}")
        languages, keys = _keys(dataset)
        parts = {name: np.flatnonzero(languages == name) for name in np.unique(languages)} if one_language else {}
        self._parts = [
            (rows, kins, _full_batches(np.bincount(kins), self.global_batch_size))
            for rows in (parts.values() if one_language else [np.arange(len(dataset))])
            for kins in [_kins([column[rows] for column in keys])]
        ]
        self.left_out = {
            str(name): len(rows) for name, (rows, _, batches) in zip(parts, self._parts, strict=False) if not batches
        }
        self._batches = sum(batches for _, _, batches in self._parts)
        self.rows_per_epoch = self._batches * self.global_batch_size
        if not self._batches:
            kind = "of one language " if one_language else ""
            raise ValueError(
                f"{len(dataset):,} pairs do not fill a batch of {self.global_batch_size:,} different pairs {kind}"
                "(equal summaries or codes never share one): choose a smaller batch_size, or take more data"
            )

    def __len__(self) -> int:
        return self._batches * self.processes

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.global_batches():
            for share in batch.reshape(self.processes, -1):
                yield share.tolist()

    def global_batches(self) -> Rows:
        """Return the epoch's steps: row indices, [steps, pairs of all processes]."""
        key = derive(self.seed, self.epoch)
        batches = np.concatenate([
            _deal(*part, self.global_batch_size, derive(key, number)) for number, part in enumerate(self._parts)
        ])  # fmt: skip
        return batches[permutation(derive(key, len(self._parts)), len(batches))]


def _keys(dataset: Dataset) -> tuple[NDArray[np.str_], list[NDArray[np.uint64]]]:
    """Read a dataset once: the language of each row, and a 64-bit hash of its value in each other column.

    Different values with one hash, once in many billions, only keep two pairs out of each other's batches.
    """
    columns = [name for name in dataset.column_names if name != LANGUAGE]
    languages: list[str] = []
    digests: list[list[bytes]] = [[] for _ in columns]
    for block in dataset.with_format("arrow").iter(batch_size=10_000):
        if LANGUAGE in dataset.column_names:
            languages += block[LANGUAGE].to_pylist()
        for name, column in zip(columns, digests, strict=True):
            column += [hashlib.blake2b(value.encode(), digest_size=8).digest() for value in block[name].to_pylist()]
    return np.array(languages), [np.frombuffer(b"".join(column), dtype=np.uint64) for column in digests]


def _kins(keys: Sequence[NDArray[np.uint64]]) -> Rows:
    """Number the groups of rows that are connected by equal values in any column: [rows].

    Every row takes over the smallest row number that it finds among its equals, until nothing changes.
    """
    values = [np.unique(column, return_inverse=True)[1] for column in keys]
    label = np.arange(len(keys[0]))
    while True:
        before = label
        for value in values:
            smallest = np.full(value.max() + 1, len(label))
            np.minimum.at(smallest, value, label)
            label = smallest[value]
        label = label[label]
        if np.array_equal(label, before):
            return np.unique(label, return_inverse=True)[1]


def _full_batches(kin_sizes: Rows, batch_size: int) -> int:
    """The largest K for which K batches can be filled, each with at most one pair of a kin.

    The pairs that take part in K batches, the sum of min(size, K), grow slower and slower with K: once they are too few
    they stay too few, and bisection finds the last K.
    """
    low, high = 0, int(kin_sizes.sum()) // batch_size
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(kin_sizes, middle).sum() >= middle * batch_size:
            low = middle
        else:
            high = middle - 1
    return low


def _deal(rows: Rows, kins: Rows, batches: int, batch_size: int, key: Words) -> Rows:
    """Deal the rows of one language to its batches: [batches, batch_size]."""
    shuffled = permutation(derive(key, 0), len(rows))
    kin_order = permutation(derive(key, 1), kins.max() + 1)[kins[shuffled]]
    order = np.argsort(kin_order, kind="stable")
    place = kin_order[order]
    rank_in_kin = np.arange(len(place)) - np.searchsorted(place, place)
    chosen = rows[shuffled[order[rank_in_kin < batches]]]
    return chosen[: batches * batch_size].reshape(batch_size, batches).T


@dataclass
class PairCollator:
    """Turns rows into tokenised texts and codes, the code side in full or as hard positive (section 3.2).

    A hard positive is a function without its signature and return statements; a nameless summary is what `without_name`
    makes of one.

    Attributes:
        preprocess: tokenises a list of texts; the model's own `preprocess`.
        text_max_length: tokens to which summaries are cut.
        code_max_length: tokens to which code is cut.
        hard_positive_share: share of rows whose code side is the hard positive; the paper has 1.
        seed: seed of this choice and of the next ones.
        epoch: which pass over the data this is; a row's forms are drawn anew in each.
        name_mask_share: share of rows whose text side is the nameless summary.
        documentation_share: share of rows whose text side is the whole documentation, of which the summary is a part.
        dropout_pairs: the text side is the code side once more, for an encoder whose dropout tells them apart.
        question_share: share of rows whose text, whichever it is, is put as a question, see `forms.as_question`.
        obfuscated_share: share of rows whose code, whichever it is, loses the names its author chose.
        unimodal_share: share of rows whose text is the whole code without those names; the code side keeps them.
        teacher: gives a teacher's vectors of some texts and codes, as `TeacherVectors` does.
        text_prompt: what the model puts before a query, and so before every text here.
        code_prompt: what it puts before a document.
    """

    preprocess: Callable[..., dict[str, Any]]
    text_max_length: int
    code_max_length: int
    hard_positive_share: float = 1.0
    seed: int = 0
    name_mask_share: float = 0.0
    documentation_share: float = 0.0
    dropout_pairs: bool = False
    question_share: float = 0.0
    obfuscated_share: float = 0.0
    unimodal_share: float = 0.0
    epoch: int = 0
    teacher: Callable[[list[str], list[str]], Tensor] | None = None
    text_prompt: str = ""
    code_prompt: str = ""
    valid_label_columns: tuple[str, ...] = ()

    def __call__(self, rows: list[dict[str, str]]) -> dict[str, Any]:
        """Tokenise a batch: keys `text_*` and `code_*`, padded to the longest of each side; with a teacher `label`."""
        if get_worker_info() is not None:  # There are as many workers as cores: no threads besides.
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
        code = [self.code(row) for row in rows], self.code_max_length
        text = code if self.dropout_pairs else ([self.text(row) for row in rows], self.text_max_length)
        label = {} if self.teacher is None else {"label": self.teacher(text[0], code[0])}
        sides = (("text", self.text_prompt, *text), ("code", self.code_prompt, *code))
        return label | {
            f"{side}_{key}": value
            for side, prompt, texts, length in sides
            for key, value in self.preprocess(
                [prompt + each for each in texts], processing_kwargs={"text": {"max_length": length}}
            ).items()
        }

    def text(self, row: dict[str, str]) -> str:
        """Choose the form of a row's text, as a function of the seed, the epoch and the code."""
        if self._is_unimodal(row):
            return without_identifiers(row["code"], row[LANGUAGE])
        if self._falls_within(self.documentation_share, row, b"documentation"):
            text = row["documentation"]
        else:
            text = row["nameless_summary" if self._falls_within(self.name_mask_share, row, b"text") else "summary"]
        if self._falls_within(self.question_share, row, b"question"):
            return as_question(text, row[LANGUAGE], self._draw(row, b"question form"))
        return text

    def code(self, row: dict[str, str]) -> str:
        """Choose the form of a row's code, as a function of the seed, the epoch and the code."""
        code = row["hard_positive" if self._falls_within(self.hard_positive_share, row, b"code") else "code"]
        if self._falls_within(self.obfuscated_share, row, b"obfuscated") and not self._is_unimodal(row):
            return without_identifiers(code, row[LANGUAGE])
        return code

    def _is_unimodal(self, row: dict[str, str]) -> bool:
        return self._falls_within(self.unimodal_share, row, b"unimodal")

    def _falls_within(self, share: float, row: dict[str, str], choice: bytes) -> bool:
        return self._draw(row, choice) < share * 2**64

    def _draw(self, row: dict[str, str], choice: bytes) -> int:
        salt = self.seed.to_bytes(8, "little", signed=True) + self.epoch.to_bytes(8, "little")
        key = hashlib.blake2b(row["code"].encode(), digest_size=8, salt=salt, person=choice)
        return int.from_bytes(key.digest(), "little")


def flatten(input_ids_BT: Tensor, attention_mask_BT: Tensor) -> dict[str, Any]:
    """Lay the tokens of a padded batch end to end, the form that the library gives to kernels of variable length.

    Its pooling and its cached gradients read that form, and our encoder computes each document by itself.

    Args:
        input_ids_BT: token ids, [B, T].
        attention_mask_BT: 1 for tokens that count, at least one in each row, [B, T].

    Returns:
        `input_ids`, `position_ids` (which restart at 0) and `seq_idx` (the row of each token), [1, N], and
        `cu_seq_lens_q`, where in N each row begins and the last one ends, [B + 1], with `max_length_q`, the length of
        the longest row, a number.
    """
    kept_BT = attention_mask_BT.bool()
    return {
        "input_ids": input_ids_BT[kept_BT][None],
        "position_ids": (kept_BT.cumsum(1) - 1)[kept_BT][None],
        "seq_idx": kept_BT.nonzero()[:, 0][None],
        "cu_seq_lens_q": F.pad(kept_BT.sum(1).cumsum(0), (1, 0)).to(torch.int32),
        "max_length_q": int(kept_BT.sum(1).max()),
    }
