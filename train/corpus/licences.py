"""Which licences a corpus takes: the groups, and expressions of SPDX names.

Contract: `is_selected` judges an SPDX expression by the licences that are selected, where a name of `GROUPS` stands for
its licences and `all` for every licence. With OR one side has to be selected, with AND both.
"""

import re
from collections.abc import Iterable, Iterator

PERMISSIVE = frozenset(
    {
        "0BSD",
        "AFL-2.1",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "FTL",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "PostgreSQL",
        "Python-2.0",
        "TCL",
        "Unlicense",
        "Zlib",
        "blessing",
        "curl",
        "libpng-2.0",
        "libtiff",
    }
)
"""Licences that let everyone use, change and pass on, and ask for no more than that they are named."""

GROUPS: dict[str, frozenset[str]] = {"permissive": PERMISSIVE}

ALL = "all"

_WORD = re.compile(r"\(|\)|[^\s()]+")


def is_selected(expression: str, selection: Iterable[str]) -> bool:
    """Whether an SPDX expression is within a selection of licences.

    Args:
        expression: such as `MIT`, `Apache-2.0 AND (MIT OR GPL-2.0-only)`. A licence `WITH` an exception is a licence of
            its own. What is no expression is a licence of that name.
        selection: names of licences and groups.
    """
    names = set(selection)
    if ALL in names:
        return True
    allowed = {name.lower() for chosen in names for name in GROUPS.get(chosen, {chosen})}
    words = iter([*_WORD.findall(expression), ")"])
    try:
        chosen = _any(words, allowed)
    except ValueError:
        return False
    return chosen and next(words, None) is None


def _any(words: Iterator[str], allowed: set[str]) -> bool:
    """Read up to a closing bracket: alternatives, each of them licences that all apply."""
    chosen, every, name, operands = False, True, "", 0
    for word in words:
        if word == "(":
            every = _any(words, allowed) and every
            operands += 1
        elif word in (")", "OR", "AND"):
            if name:
                every = every and name.lower() in allowed
                operands += 1
            if operands != 1:
                raise ValueError(f"{operands} licences where one is expected")
            name, operands = "", 0
            if word == ")":
                return chosen or every
            if word == "OR":
                chosen, every = chosen or every, True
        else:
            name = f"{name} {word}".strip()
    raise ValueError("a bracket is not closed")
