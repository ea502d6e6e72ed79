"""Evaluation sets, looked for in what is to be trained on.

Contract: `read_references` gives the programs of evaluation sets and every function in them; a `References` finds one
of them in a text. What counts is the share of the smaller side's shingles that both have (see `similarity`): 1 is the
same code but for white space, and from `THRESHOLD` on it is a near-duplicate. A reference is found wherever it stands
in a file, documented or not; a function is found in a larger reference, too.

Shingles that stand in many references (loops, the frames of programs) tell nothing and are left out. A reference with
fewer than `FEWEST` others cannot be distinguished from any other code, and is not looked for.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from open_codesage.tokenization.functions import functions_of
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.source import Unparsable, parse

from .similarity import Shingles, Tokens, shingles, tokens

SIZE = 8
"""Tokens in a shingle: more than where whole texts are compared, as large files have short runs of everything."""
THRESHOLD = 0.6
FEWEST = 24
MOST_OWNERS = 50
"""A shingle of more references than these is left out."""


class Reference(NamedTuple):
    """A piece of an evaluation set.

    Attributes:
        name: the set's folder and the row's id or number, such as `cosqa/corpus/17`.
        text: a program, or a function of it.
    """

    name: str
    text: str


class Match(NamedTuple):
    """What was found in a text: the reference's name, and the share of shingles in common."""

    name: str
    share: float


def read_references(folders: Iterable[Path]) -> Iterator[Reference]:
    """Give the programs of evaluation sets, and the functions in them without their documentation.

    Args:
        folders: each a set or a folder of sets: JSON lines (they may be compressed) with `text` and, as far as known,
            `language`. Files called `queries…` are left out, as questions are no code.

    Raises:
        ValueError: a folder has no such file, or a row no text.
    """
    for folder in folders:
        files = sorted(path for path in folder.rglob("*.jsonl*") if not path.name.startswith("queries"))
        if not files:
            raise ValueError(f"{folder} holds no evaluation set: no file *.jsonl or *.jsonl.gz")
        for path in files:
            set_name = f"{path.parent.name}/{path.name.partition('.')[0]}"
            try:
                with (
                    gzip.open(path, "rt", encoding="utf-8")
                    if path.suffix == ".gz"
                    else path.open("rt", encoding="utf-8") as lines
                ):
                    for number, line in enumerate(lines):
                        row = json.loads(line)
                        for text in _pieces(str(row["text"]), str(row.get("language"))):
                            yield Reference(f"{set_name}/{row.get('_id', number)}", text)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path} is no evaluation set: {type(error).__name__}: {error}") from error


def fingerprint(hashes: Tokens) -> Shingles:
    """The shingles by which texts are compared here, out of their tokens."""
    return shingles(hashes, SIZE)


def _pieces(text: str, language: str) -> Iterator[str]:
    yield text
    try:
        name = resolve_language(language)
    except ValueError:
        return
    try:
        source = parse(text, name)
        for function in functions_of(source):
            yield function.code
        for _, match in source.matches("functions"):
            if match.get("body"):
                for node in match.get("function", ()):
                    yield source.slice(*node.byte_range)
    except Unparsable:
        return


@dataclass(frozen=True)
class References:
    """Evaluation sets, ready to be looked for.

    Attributes:
        names: the name of every reference.
        sizes: number of its shingles, of those that tell something.
        keys: these shingles, of all references, sorted.
        owners: numbers of the references of the first shingle, the second, and so on.
        offsets: where in `owners` those of each shingle begin, and their end.
    """

    names: list[str]
    sizes: npt.NDArray[np.int64]
    keys: Shingles
    owners: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, references: Iterable[Reference]) -> "References":
        """Index references; those that are too short are left out, and equal ones are there once."""
        names: list[str] = []
        sets: list[Shingles] = []
        seen: set[bytes] = set()
        for reference in references:
            numbers = fingerprint(tokens(reference.text))
            if len(numbers) >= FEWEST and (digest := numbers.tobytes()) not in seen:
                seen.add(digest)
                names.append(reference.name)
                sets.append(numbers)
        everything = np.concatenate([np.empty(0, np.uint64), *sets])
        owners = np.repeat(np.arange(len(sets)), [len(numbers) for numbers in sets])
        order = np.argsort(everything, kind="stable")
        keys, counts = np.unique(everything[order], return_counts=True)
        telling = counts <= MOST_OWNERS
        owners = owners[order][np.repeat(telling, counts)]
        sizes = np.bincount(owners, minlength=len(sets))
        offsets = np.concatenate(([0], np.cumsum(counts[telling])))
        return cls(names, sizes, keys[telling], owners, offsets)

    @property
    def looked_for(self) -> int:
        """How many references are long enough to be looked for."""
        return int((self.sizes >= FEWEST).sum())

    def find(self, numbers: Shingles, whole_file: bool) -> Match | None:
        """Look for the references in a text.

        Args:
            numbers: the text's shingles.
            whole_file: whether only references in the text count; else also the text in a reference.

        Returns:
            The reference that has most in common with the text, None if none reaches the threshold.
        """
        size = len(numbers)
        if not len(self.keys) or size < FEWEST:
            return None
        numbers = numbers[self._may_be_key[numbers >> _SHIFT]]
        if len(numbers) < THRESHOLD * FEWEST:
            return None
        places = np.minimum(np.searchsorted(self.keys, numbers), len(self.keys) - 1)
        places = places[self.keys[places] == numbers]
        if len(places) < THRESHOLD * FEWEST:
            return None
        starts, counts = self.offsets[places], self.offsets[places + 1] - self.offsets[places]
        inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        common = np.bincount(self.owners[np.repeat(starts, counts) + inside], minlength=len(self.names))
        least = self.sizes if whole_file else np.minimum(self.sizes, size)
        shares = np.where(self.sizes >= FEWEST, common / np.maximum(least, 1), 0)
        best = int(np.argmax(shares))
        return Match(self.names[best], round(float(shares[best]), 3)) if shares[best] >= THRESHOLD else None

    @cached_property
    def _may_be_key(self) -> npt.NDArray[np.bool_]:
        """By the first bits of a number, whether it may be a key: most numbers of a text are told off at once."""
        table = np.zeros(1 << _BITS, np.bool_)
        table[self.keys >> _SHIFT] = True
        return table

    def save(self, path: Path) -> None:
        """Write the index for other processes."""
        np.savez(path, names=np.array(self.names), **{name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: Path) -> "References":
        """Read what `save` has written."""
        with np.load(path) as arrays:
            return cls(arrays["names"].tolist(), *(arrays[name] for name in _ARRAYS))


_BITS = 24
_SHIFT = np.uint64(64 - _BITS)
_ARRAYS = ("sizes", "keys", "owners", "offsets")
