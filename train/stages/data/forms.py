"""Other forms of a pair: a summary as a question that people type, a function without the names its author chose.

Contract: `as_question` and `without_identifiers` give a text for a text, and the same for the same seed.

Invariant: what cannot be put into the form is given back as it is, so a batch never loses a row.
"""

import random
import re

from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.source import Unparsable

# What people call a language in a question, where it is not its name.
_SPOKEN = {"go": "golang", "csharp": "c#", "cpp": "c++"}

# Beginnings of summaries that are verbs: only these go behind "how to".
_VERBS = frozenset(
    re.findall(
        r"\w+",
        "add append apply attach build calculate call check clean clear close compare compute connect construct "
        "convert copy count create decode decrypt delete detach determine display download draw dump encode "
        "encrypt escape evaluate execute export extract fetch filter find format generate get handle import "
        "initialize insert install iterate join list load log lookup map match merge move normalize open parse "
        "plot pop print process push put read register remove render replace reset resize resolve retrieve return "
        "rotate round run save scale search select send serialize set show sort split start stop strip transform "
        "trim unescape update upload use validate wait walk wrap write yield",
    )
)
_ENDINGS = (("", ""), ("s", ""), ("es", ""), ("ies", "y"))
_FILLERS = frozenset({"a", "an", "the", "this", "that", "its", "given", "specified"})
_QUESTION_WORDS = 14
_MARKS = re.compile(r"[,;:`'\"()]+")


def as_question(summary: str, language: str, seed: int) -> str:
    """Say a summary as people type a question into a search box.

    "Returns the index of a value." becomes "python return index of value", "how to return the index of a value" and
    the like: the verb in its plain form, no full stop, often no articles, often with the name of the language.

    Args:
        summary: the first sentence of the documentation.
        language: the function's language.
        seed: seed of the choices.
    """
    words = [_MARKS.sub("", word) for word in summary.strip().rstrip(".!").split()][:_QUESTION_WORDS]
    words = [word for word in words if word]
    if not words:
        return summary
    draw = random.Random(seed)
    verb = _plain_verb(words[0])
    if draw.random() < 0.5:
        words = [word for word in words if word.lower() not in _FILLERS] or words
    text = " ".join([verb, *words[1:]] if verb else words)
    if verb and draw.random() < 0.3:
        text = f"how to {text}"
    name = _SPOKEN.get(resolve_language(language), language)
    return draw.choices([text, f"{name} {text}", f"{text} in {name}", f"{text} {name}"], [46, 30, 12, 12])[0]


def without_identifiers(code: str, language: str) -> str:
    """Rename what the author of a function has named to v0, v1 and so on, in the order of appearance."""
    try:
        identifiers = find_identifiers(code, language)
    except Unparsable:
        return code
    parts, end = [], 0
    for one in identifiers:
        parts += [code[end : one.start], f"v{one.id - 1}"]
        end = one.end
    return "".join([*parts, code[end:]])


def _plain_verb(word: str) -> str | None:
    """The verb of which a word is the plain form or the third person."""
    for ending, plain in _ENDINGS:
        stem = word.lower().removesuffix(ending) + plain
        if word.lower().endswith(ending) and stem in _VERBS:
            return stem
    return None
