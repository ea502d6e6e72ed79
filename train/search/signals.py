"""The signals that rank: what speaks for a unit or its file, each with its weight.

Contract: a signal is a function of what is asked (`Question`) and what is searched (`Collection`); it gives one number
per unit or per file. A unit's score is the sum of all signals times their `WEIGHTS`. `PENALTIES` lower files by what
their paths say they are, unless the query asks for such files.

Weights were chosen on 19 public repositories, each of which was also measured with weights that the other 18 chose; the
ablation is in docs/commands/search.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .collection import Collection
from .coverage import Cover
from .words import WordScores, query_words

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A query, as the signals look at it.

    Attributes:
        text: the query.
        embedding: of the query: float32 [D], of length 1.
        searched: what is searched.
    """

    text: str
    embedding: npt.NDArray[np.float32]
    searched: Collection

    @cached_property
    def words(self) -> list[str]:
        """Its distinct words that tell something, without endings."""
        return query_words(self.text)

    @cached_property
    def rarity(self) -> Floats:
        """The inverse document frequency of the words."""
        return np.maximum(self.word_scores.rarity, _LEAST_RARITY)

    @cached_property
    def word_scores(self) -> WordScores:
        """BM25 of units and files."""
        return self.searched.words.scores(self.words)

    @cached_property
    def cosines(self) -> Floats:
        """Cosine of every unit's embedding and the query's: float64 [N]."""
        return (self.searched.embeddings @ self.embedding).astype(np.float64)

    @cached_property
    def file_names(self) -> Cover:
        """How files' names and the query cover each other."""
        return self.searched.file_names.cover(self.words, self.rarity)

    @cached_property
    def is_symbol(self) -> bool:
        """Whether the whole query is one name, qualified or not."""
        return bool(_SYMBOL.fullmatch(self.text.strip()))


_LEAST_RARITY = 0.05
_SYMBOL = re.compile(r"[\w$]+(?:(?:\.|::|->|#|\\)[\w$]+)*[?!]?(?:\(\))?")
_NAME = re.compile(r"[^\W\d][\w$]*")
_COMPOUND = re.compile(r"[a-z0-9][A-Z]|[^\W_]_+[^\W_]|[A-Z]{2}[a-z]")


# --- signals of units ------------------------------------------------------------------------------------------------


def encoder(asked: Question) -> Floats:
    """How near a unit is to the query for the encoder."""
    return _standard(asked.cosines)


def words(asked: Question) -> Floats:
    """BM25 of a unit."""
    return _standard(asked.word_scores.units)


def definition(asked: Question) -> Floats:
    """Whether a unit defines a symbol that the query is, or that stands in it.

    A whole query may spell it in another case. Inside a sentence it has to look like a name, by capitals or underscores
    within it or a capital at its beginning, and is less sure then.
    """
    scores = np.zeros(len(asked.searched.units))
    for name in dict.fromkeys(_NAME.findall(asked.text)):
        places = asked.searched.definitions.get(name.lower(), ())
        exact = [place for place in places if name in asked.searched.units[place].names]
        if asked.is_symbol:
            sure = _WHOLE
        elif _COMPOUND.search(name):
            sure = 1.0
        elif name[0].isupper():
            sure = _CAPITAL
        else:
            continue
        for place in exact or (places if asked.is_symbol else ()):
            is_function = asked.searched.units[place].kind == "function"
            scores[place] = max(scores[place], sure * (_FUNCTION if is_function else 1.0))
    return scores


_WHOLE = 1.6
_CAPITAL = 0.6
_FUNCTION = 0.7


def name(asked: Question) -> Floats:
    """How far what a unit defines is named in the query's words."""
    names, units, numbers = asked.searched.defined_names
    cover = names.cover(asked.words, asked.rarity)
    scores = np.zeros(len(asked.searched.units))
    np.maximum.at(scores, units, (cover.recall * cover.precision)[numbers])
    return scores


# --- signals of files ------------------------------------------------------------------------------------------------


def file_encoder(asked: Question) -> Floats:
    """How near the mean of a file's units is to the query for the encoder."""
    return _standard((asked.searched.file_embeddings @ asked.embedding).astype(np.float64))


def file_words(asked: Question) -> Floats:
    """BM25 of a file as one text."""
    return _standard(asked.word_scores.files)


def file_name(asked: Question) -> Floats:
    """How far the words of the query and those of a file's name are the same."""
    return np.sqrt(asked.file_names.recall * asked.file_names.precision)


def folder_name(asked: Question) -> Floats:
    """How much of the query is in the names of a file's folders."""
    return asked.searched.folder_names.cover(asked.words, asked.rarity).recall


def size(asked: Question) -> Floats:
    """How much there is in a file that a question could be about."""
    return np.log1p(asked.searched.file_sizes)


def depth(asked: Question) -> Floats:
    """How many folders a file lies deep."""
    return asked.searched.file_depths


Signal = Callable[[Question], Floats]

UNIT_SIGNALS: dict[Signal, float] = {encoder: 0.3, words: 0.15, definition: 2.5, name: 0.5}
ALIKE_SIGNALS: dict[Signal, float] = {encoder: 1.0, words: 0.3}
FILE_SIGNALS: dict[Signal, float] = {
    file_encoder: 0.3,
    file_words: 0.2,
    file_name: 2.6,
    folder_name: 0.8,
    size: 0.35,
    depth: -0.15,
}


class Penalty(NamedTuple):
    """What lowers a file by its path.

    Attributes:
        weight: by how much.
        path: pattern that its path has.
        asked: words, without endings, by which a query asks for such files.
    """

    weight: float
    path: re.Pattern[str]
    asked: frozenset[str] = frozenset()


PENALTIES: dict[str, Penalty] = {
    "test": Penalty(
        4.0,
        re.compile(
            r"""(?:^|/)(?:tests?|__tests__|specs?|testing|test_?data|fixtures|mocks?|__mocks__|e2e|bench(?:mark)?s?
              |[\w.-]*[._-]tests?)/
            | (?:^|/)(?:test_[^/]*|conftest
              |[^/]*(?:[._-](?:tests?|spec|bench(?:mark)?)|(?<=[a-z0-9])(?:Tests?|TestCase|Spec)))\.\w+$""",
            re.VERBOSE,
        ),
        frozenset({"test", "spec", "fixtur", "mock", "benchmark", "bench"}),
    ),
    "example": Penalty(
        1.0,
        re.compile(r"(?:^|/)(?:examples?|samples?|demos?|tutorials?|_?docs?|docs_src)/", re.IGNORECASE),
        frozenset({"exampl", "sampl", "demo", "tutorial", "doc"}),
    ),
    "vendored": Penalty(
        4.0,
        re.compile(r"(?:^|/)(?:_?vendor|vendored|third_?party|3rd_?party|extern(?:al)?|deps)/", re.IGNORECASE),
        frozenset({"vendor", "vendored", "third", "external"}),
    ),
    "compatibility": Penalty(
        1.5,
        re.compile(
            r"(?:^|/)(?:_?compat|legacy|deprecated|old|v\d+|polyfills?|shims?)/"
            r"|(?:^|/)[^/]*(?:compat|legacy|deprecated|polyfill|shim)[^/]*$",
            re.IGNORECASE,
        ),
        frozenset({"compat", "compatibility", "legacy", "deprecat", "polyfill", "shim"}),
    ),
    "re-export": Penalty(
        0.5, re.compile(r"(?:^|/)(?:__init__\.pyi?|index\.(?:d\.ts|[cm]?[jt]sx?)|mod\.rs|doc\.go|package-info\.java)$")
    ),
    "declaration": Penalty(0.5, re.compile(r"\.d\.[cm]?ts$|\.pyi$")),
}


def penalties(asked: Question) -> Floats:
    """What is taken off each file: float64 [F]; nothing for what the query asks for."""
    lowered = np.zeros(len(asked.searched.paths))
    for penalty in PENALTIES.values():
        if penalty.asked.isdisjoint(asked.words):
            lowered += penalty.weight * asked.searched.paths_with(penalty.path)
    return lowered


def _standard(scores: Floats) -> Floats:
    """Distances from the mean in standard deviations; 0 where all are equal."""
    deviation = scores.std() if len(scores) else 0.0
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros(len(scores))
