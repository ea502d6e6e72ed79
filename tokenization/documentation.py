"""Documentation as written to plain text, and plain text to its first sentence."""

from __future__ import annotations

import html
import re
from inspect import cleandoc

import ftfy

from .conventions import Convention
from .marks import without_marks

_PROSE_MARKUP = (
    ("<", re.compile(r"<!--.*?-->", re.DOTALL), " "),
    ("<", re.compile(r"</?(?:p|br|pre|ul|ol|dl|table|blockquote|div|h[1-6]|hr)\b[^<>]*>", re.IGNORECASE), "\n\n"),
    ("<", re.compile(r"<(?:li|dt|tr)\b[^<>]*>", re.IGNORECASE), "\n- "),
    (
        "<",
        re.compile(
            r"<(?:/|(?<!\w<))(?:a|abbr|b|big|center|cite|code|dd|del|dfn|dt|em|font|i|img|ins|kbd|li|q|s|samp|small|span|strike"
            r"|strong|sub|sup|tbody|td|tfoot|th|thead|tr|tt|u|var)(?:\s[^<>]*)?/?>",
            re.IGNORECASE,
        ),
        "",
    ),
    # _name_, %%name%%, [[Name]]
    ("_", re.compile(r"(?<!\w)_([A-Za-z]+)_(?!\w)"), r"\1"),
    ("", re.compile(r"%%(\w+)%%|\[\[(\w+)\]\]"), r"\1\2"),
)
_URL = re.compile(r"<?\b(?:https?|ftp)://[^\s<>\"']*[^\s<>\"'.,;:!?)\]}]>?")
# Where a URL was (NUL: no text has one), with the brackets in which nothing else is left, or the sentence.
_URL_GONE = re.compile(
    r"[ \t]*\((?:see|from|at|cf\.?)?[ \t:,]*\0[ \t\0]*\)|(?-i:\bSee)(?: also)?[ \t:]*\0\.?(?=\s*$)|\0",
    re.IGNORECASE | re.MULTILINE,
)

# A full stop behind these ends no sentence; behind those of the second line only before a capital letter.
_ABBREVIATION = re.compile(r"(?:approx|cf|eg|ie|eq|fig|vs|viz|wrt|aka|al|dr|mr|(?:[a-z]\.)+[a-z])", re.IGNORECASE)
_ABBREVIATION_OR_END = re.compile(r"(?:etc|resp|incl|excl|max|min|no|ver|sec|dept|esp)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]+(?=[\"')\]]*(?:\s|$))[\"')\]]*")
_LIST_ITEM = re.compile(r"\n[ \t]*(?:[-*+•o][ \t]|\(?\w{1,2}[.)][ \t])")
_BULLET = re.compile(r"\A\s*[-+*•]\s+")
_CALL = re.compile(
    r"\s*(?:[\w.:\\]*[.:\\])?(\w+)\s*(?:\([^()]*\)\s*(?:(?:->|=>)[^\n]*(?:\n|$)|[-:–—=]+\s+|\n|$)|(?:--?|:)(?:\s+|$))"
    r"|\s*(\w+)[ \t]*(?:\n|$)"
)


def clean(raw: str, convention: Convention) -> str:
    """Plain text: markers, inline markup, HTML and URLs taken off, broken Unicode repaired, lines and sections kept."""
    text = convention.unwrap(raw.replace("\r\n", "\n").replace("\r", "\n") if "\r" in raw else raw)
    if convention.comments:
        text = without_marks(text)
    if not text.isascii():
        text = ftfy.fix_text(text, unescape_html=False)
    for mark, pattern, replacement in (*convention.inline, *_PROSE_MARKUP):
        if mark in text:
            text = pattern.sub(replacement, text)
    if "://" in text:
        text = _URL_GONE.sub("", _URL.sub("\0", text))
    if convention.entities:
        text = html.unescape(text)
    text = "\n".join(line.rstrip() for line in cleandoc(text).split("\n"))
    return (re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text).strip()


def summarize(documentation: str, convention: Convention, name: str) -> str:
    """The first sentence of a documentation, in one line; empty if it has none.

    It ends with a full stop, question mark or exclamation mark before a blank, unless an abbreviation stands before it;
    else with the paragraph, before a list, or at the convention's first tag or section. A repetition of the function's
    own call, such as `name(x) -> int`, is no part of it.

    Args:
        documentation: What `clean` gave.
        convention: The convention it is written in.
        name: The function's name.
    """
    for paragraph in re.split(r"\n[ \t]*\n", _description(documentation, convention)):
        while (call := _CALL.match(paragraph)) and name in call.groups():
            paragraph = paragraph[call.end() :]
        prose = _LIST_ITEM.split(_BULLET.sub("", paragraph), maxsplit=1)[0]
        sentence = _first_sentence(" ".join(prose.split()))
        if sentence:
            return sentence
    return ""


def _description(documentation: str, convention: Convention) -> str:
    end = convention.end.search(documentation)
    head = documentation[: end.start()] if end else documentation
    if convention.aside:
        head = convention.aside.sub("\n\n", head)
    if convention.description and not head.strip() and (tag := convention.description.search(documentation)):
        end = convention.end.search(documentation, tag.end())
        return documentation[tag.end() : end.start() if end else None]
    return head


def _first_sentence(text: str) -> str:
    for match in _SENTENCE_END.finditer(text):
        word = text[: match.start()].rpartition(" ")[2].lstrip("([\"'")
        following = text[match.end() :].lstrip()[:1]
        goes_on = following.islower() or following.isdigit()
        is_abbreviation = _ABBREVIATION.fullmatch(word) or (goes_on and _ABBREVIATION_OR_END.fullmatch(word))
        # Names of predicates and the like end so: the sentence goes on behind `empty?` in small letters.
        is_full_stop = match[0].startswith(".") and not match[0].startswith("..")
        if not (is_abbreviation if is_full_stop else following.islower()):
            return text[: match.end()]
    return text.rstrip(" :")
