"""Which documented functions become pairs: the rules of the paper (appendix A.1), and rules against junk.

The paper keeps a function whose summary is English and has 3 to 256 tokens and whose body has more than one line. The
other rules drop what teaches nothing or lets a pair be matched by its form: stubs, tests, methods that every class has,
text that is no description, code that was commented out. A token of a summary is a run of letters, digits and
underscores; one that is a number does not count among the fewest.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from .functions import Function
from .languages import LANGUAGES, resolve_language
from .prose import is_code, may_be_code

Rejection = Literal[
    "syntax_error",
    "no_summary",
    "no_description",
    "commented_out",
    "summary_too_short",
    "summary_too_long",
    "not_english",
    "test",
    "special_method",
    "body_too_short",
    "code_too_long",
    "empty_hard_positive",
    "accessor",
    "summary_in_code",
]
REJECTIONS: tuple[Rejection, ...] = get_args(Rejection)

_FEWEST_TOKENS, _MOST_TOKENS = 3, 256
_MOST_CHARACTERS_OF_CODE = 20_000
_LEAST_ASCII_SHARE = 0.97
_BEGINNING = 40
_TOKENS_THAT_NEED_A_STOP_WORD = 8

_TOKEN = re.compile(r"\w+")
_STOP_WORD = re.compile(
    r"(?:a|about|after|all|also|an|and|any|are|as|at|be|been|before|being|both|but|by|can|do|does|during|each|else|for"
    r"|from|given|has|have|how|if|in|into|is|it|its|last|may|more|most|must|new|next|no|not|now|of|off|on|once|one|only|or"
    r"|other|otherwise|our|out|over|per|same|set|should|so|some|such|than|that|the|their|them|then|there|these|they|this"
    r"|through|to|two|until|up|upon|us|use|used|using|via|was|we|were|what|when|where|whether|which|while|will|with"
    r"|within|without|you|your)"
)
_NO_DESCRIPTION = re.compile(
    r"(?:todo|fixme|xxx|hack)\b|copyright|\(c\)|licen[sc]ed?\b|\(?see\b|same as\b|overrid(?:e|es|den)\b|@|[$]\w+[:$]"
    r"|not implemented|internal use only|for internal use|auto-?generated|do not edit|.*all rights reserved"
    r"|(?:sections?|rfc|issue|bug)[\s#]*\d[\d.]*$|(?:pre|post)-?conditions?:|deprecated\b|note\b(?!s)|<include\b"
    r"|required method for designer support"
    # Which interface a method belongs to says nothing of what it does.
    r"|\w+ implements (?:the )?[\w.*/]+(?: (?:interface|method))?\W*$|(?:default |the )?implementation of \S+$",
    re.IGNORECASE,
)
# Nothing, directives, and handlers of errors around nothing.
_NO_CODE = re.compile(r"(?:\s|['\"]use strict['\"];?|(?:try|finally)\s*\{\s*\}|catch\s*(?:\([^()]*\)\s*)?\{\s*\})*+")
_TEST = re.compile(
    r"[tT]est(?=[_A-Z0-9])|(?:setUp|tearDown|set_up|tear_down|setup_|teardown_)(?:[cC]lass|[mM]ethod|[mM]odule)?$"
)
_TEST_MACRO = re.compile(r"(?:[A-Z][A-Z0-9]*_)*TEST(?:_[A-Z0-9_]+)?[ \t]*\(")
_ACCESSOR = re.compile(r"(?:[gG]et|[sS]et|[iI]s|[hH]as|[wW]ith)(?:_|(?=[A-Z0-9]))")


def rejection_reason(function: Function, language: str) -> Rejection | None:
    """Why a function is not taken as a pair, None if it is; the first reason in the order of `REJECTIONS`.

    Args:
        function: What `extract_functions` gave.
        language: Name or alias of its language.

    Raises:
        ValueError: The language is unknown.
    """
    special = LANGUAGES[resolve_language(language)].special_methods
    tokens = _TOKEN.findall(function.summary.lower())
    checks: dict[Rejection, bool] = {
        "syntax_error": function.has_error,
        "no_summary": not tokens,
        "no_description": bool(_NO_DESCRIPTION.match(function.summary)),
        "commented_out": may_be_code(function.summary) and is_code(_lines_of_summary(function)),
        "summary_too_short": sum(not token.isdecimal() for token in tokens) < _FEWEST_TOKENS,
        "summary_too_long": len(tokens) > _MOST_TOKENS,
        "not_english": not _is_english(function.summary, tokens),
        "test": bool(_TEST.match(function.name) or _TEST_MACRO.match(function.code)),
        "special_method": bool(special and special.fullmatch(function.name)),
        "body_too_short": function.body_lines <= 1,
        "code_too_long": len(function.code) > _MOST_CHARACTERS_OF_CODE,
        "empty_hard_positive": bool(_NO_CODE.fullmatch(function.hard_positive)),
        "accessor": bool(_ACCESSOR.match(function.name)) and len(_code_lines(function.hard_positive)) <= 1,
        "summary_in_code": _has_phrase(function.code.lower(), tokens),
    }
    return next((reason for reason in REJECTIONS if checks[reason]), None)


def _lines_of_summary(function: Function) -> str:
    """The paragraph of the documentation that the summary is of, in its lines."""
    beginning = re.compile(
        r"\s+".join(map(re.escape, function.summary[:_BEGINNING].split()[:-1] or [function.summary]))
    )
    found = (beginning.search(paragraph) for paragraph in function.documentation.split("\n\n"))
    first = next(filter(None, found), None)
    return first.string[first.start() :] if first else function.summary


def _is_english(summary: str, tokens: list[str]) -> bool:
    ascii_share = 1.0 if summary.isascii() else sum(map(str.isascii, summary)) / len(summary)
    has_stop_word = len(tokens) < _TOKENS_THAT_NEED_A_STOP_WORD or any(map(_STOP_WORD.fullmatch, tokens))
    return ascii_share >= _LEAST_ASCII_SHARE and has_stop_word


def _has_phrase(text: str, tokens: list[str]) -> bool:
    # Most texts lack one of the tokens, which is told sooner.
    return all(token in text for token in tokens) and " ".join(tokens) in " ".join(_TOKEN.findall(text))


def _code_lines(code: str) -> list[str]:
    return [line for line in code.split("\n") if _TOKEN.search(line)]
