"""Which units may be given: by language, by path, by kind.

Contract: a `Filters` checks itself when it is made; `mask` says of every unit of a collection whether it passes. Globs
mean what they mean in a `.gitignore`, relative to the tree; of several the last that matches decides, and where one is
without an exclamation mark, a file has to match.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from open_codesage.tokenization.languages import resolve_language

from .collection import Collection
from .gitignore import RuleSet
from .languages import NAMES

KINDS = ("class", "code", "enum", "function", "interface", "module", "section", "struct", "trait", "type")


@dataclass(frozen=True)
class Filters:
    """Conditions on units; an empty one is none.

    Attributes:
        languages: names or aliases of languages.
        globs: patterns of paths.
        kinds: kinds of units.

    Raises:
        ValueError: a language or a kind is unknown.
    """

    languages: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(map(_language, self.languages)))
        for kind in self.kinds:
            _require(kind, KINDS, "kind")

    def mask(self, searched: Collection) -> npt.NDArray[np.bool_] | None:
        """Which units pass: bool [N]; None if all do."""
        if not (self.languages or self.globs or self.kinds):
            return None
        rules = RuleSet(self.globs)
        files = np.array(
            [
                (not self.languages or language in self.languages) and (not self.globs or _passes(path, rules))
                for path, language in zip(searched.paths, searched.languages, strict=True)
            ],
            dtype=np.bool_,
        )
        passing = files[searched.file_of] if len(searched.units) else np.zeros(0, dtype=np.bool_)
        if self.kinds:
            passing &= np.array([unit.kind in self.kinds for unit in searched.units], dtype=np.bool_)
        return passing


def _passes(path: str, rules: RuleSet) -> bool:
    components = path.encode("utf-8", "surrogateescape").split(b"/")
    for place in range(len(components), 0, -1):
        decided = rules.decide(b"/".join(components[:place]), is_folder=place < len(components))
        if decided is not None:
            return decided
    return not rules.has_plain


def _language(name: str) -> str:
    try:
        return resolve_language(name)
    except ValueError:
        return _require(name.lower(), NAMES, "language")


def _require(name: str, known: tuple[str, ...] | list[str], what: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ValueError(f"unknown {what} {name!r}; {hint}")
    return name
