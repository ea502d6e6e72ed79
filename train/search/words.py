"""Words of code and of queries, and BM25 over the units and the files of a collection at once.

Contract: `words_of` splits identifiers, lower-cases and cuts the endings of inflection off, so that "closing
connections" meets `close_connection`. `word_keys` are what an index keeps of a text: one 32-bit key a word, which needs
no dictionary. `Words.scores` gives the BM25 of every unit and of every file with a query; the words of a file's path
count for the file and for each of its units, `PATH_REPEATS` times.

Invariant: two words that share a key count as one word; of a hundred thousand, about one has such a twin.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..retrieval.split_words import split_words

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint32]

K1 = 1.5
B = 0.75
PATH_REPEATS = 3
QUERY_WORDS = 60
"""Longer queries are cut: more words than that tell nothing more, and cost time."""

_STOP_WORDS = """
    a after an and are as at be been before being between by can did do does during for from happens how if in into
    is it its not of on or that the these this those to use used using via was were what when where which who why
    with without work works
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words of a question that tell nothing about its answer."""

_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", ""))
_SHORTEST_STEM = 3
_DOUBLED = frozenset("bdfgmnprtvz")


def words_of(text: str) -> list[str]:
    """The words of a text, code or not, without their endings."""
    return [without_ending(word) for word in split_words(text)]


def query_words(query: str) -> list[str]:
    """The distinct words of a query that tell something; all of them if none does."""
    words = list(dict.fromkeys(split_words(query)))[:QUERY_WORDS]
    telling = [word for word in words if word not in STOP_WORDS]
    return list(dict.fromkeys(without_ending(word) for word in telling or words))


@functools.lru_cache(maxsize=1 << 17)
def without_ending(word: str) -> str:
    """A word without the ending of a plural, a participle or a gerund, and without a last `e`.

    It need not be a word: it only has to be the same for the forms of one.
    """
    if len(word) == _SHORTEST_STEM + 1 and word[-1] == "s" and word[-2] != "s":
        return word[:-1]
    if len(word) <= _SHORTEST_STEM + 1:
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)] + instead
            break
    if len(word) > _SHORTEST_STEM and word[-1] == "e":
        word = word[:-1]
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] in _DOUBLED:
        word = word[:-1]
    return word


def word_keys(words: Iterable[str]) -> Keys:
    """Keys of words, with repeats: uint32 [number of words]."""
    return np.fromiter((_key(word) for word in words), dtype=np.uint32)


@functools.lru_cache(maxsize=1 << 17)
def _key(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


class WordScores(NamedTuple):
    """What the W words of a query say.

    Attributes:
        units: BM25 of the units: float64 [N].
        files: BM25 of the files: float64 [F].
        rarity: the inverse document frequency of each word among the files: float64 [W].
    """

    units: Floats
    files: Floats
    rarity: Floats


class Words:
    """The words of the units and paths of a collection.

    Args:
        keys: of the words of all units, one unit behind the other: uint32 [P].
        lengths: how many of them each unit has: int64 [N].
        file_of: number of each unit's file: int64 [N].
        paths: the words of each file's path, without endings: F lists.
    """

    def __init__(
        self, keys: Keys, lengths: npt.NDArray[np.int64], file_of: npt.NDArray[np.int64], paths: Sequence[list[str]]
    ) -> None:
        self._file_of = file_of
        order = np.argsort(keys, kind="stable")
        self._keys, self._unit_of = keys[order], np.repeat(np.arange(len(lengths)), lengths)[order]
        self._path_counts: dict[str, dict[int, int]] = {}
        for number, words in enumerate(paths):
            for word in words:
                counts = self._path_counts.setdefault(word, {})
                counts[number] = counts.get(number, 0) + PATH_REPEATS
        of_path = PATH_REPEATS * np.array([len(words) for words in paths], dtype=np.float64)
        unit_lengths = lengths + of_path[file_of]
        file_lengths = np.bincount(file_of, weights=lengths, minlength=len(paths)) + of_path
        self._unit_norm, self._file_norm = _length_norm(unit_lengths), _length_norm(file_lengths)

    def scores(self, words: Sequence[str]) -> WordScores:
        """BM25 of all units and files with some words."""
        units, files = np.zeros(len(self._unit_norm)), np.zeros(len(self._file_norm))
        rarity = np.zeros(len(words))
        for number, word in enumerate(words):
            (places, counts), (file_places, file_counts) = self._counts(word)
            rarity[number] = _idf(len(file_places), len(files))
            units[places] += _bm25(counts, self._unit_norm[places], len(units))
            files[file_places] += _bm25(file_counts, self._file_norm[file_places], len(files))
        return WordScores(units, files, rarity)

    def _counts(self, word: str) -> tuple[_Counts, _Counts]:
        """How often a word is in the units that have it, and in the files."""
        key = np.uint32(_key(word))  # of the array's own type, or all of it would be converted
        start, end = (int(np.searchsorted(self._keys, key, side=side)) for side in _SIDES)
        units, found = np.unique(self._unit_of[start:end], return_counts=True)
        counts = found.astype(np.float64)
        of_files = np.bincount(self._file_of[units], weights=counts, minlength=len(self._file_norm)).astype(np.float64)
        if paths := self._path_counts.get(word):
            of_paths = np.zeros(len(self._file_norm))
            of_paths[list(paths)] = list(paths.values())
            of_files += of_paths
            of_units = of_paths[self._file_of]
            of_units[units] += counts
            units, counts = np.flatnonzero(of_units), of_units[of_units > 0]
        files = np.flatnonzero(of_files)
        return (units, counts), (files, of_files[files])


_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_Counts = tuple[npt.NDArray[np.int64], Floats]
"""Numbers of units or files, and how often a word is in each."""


def _length_norm(lengths: Floats) -> Floats:
    mean = lengths.mean() if len(lengths) else 0.0
    return K1 * (1 - B + B * lengths / mean) if mean > 0 else np.full(len(lengths), K1)


def _idf(documents_with: int, documents: int) -> float:
    return float(np.log(1 + (documents - documents_with + 0.5) / (documents_with + 0.5)))


def _bm25(counts: Floats, norm: Floats, documents: int) -> Floats:
    """BM25 of one word, for the documents that have it."""
    return _idf(len(counts), documents) * counts * (K1 + 1) / (counts + norm)
