"""The signature of a function on one line, for people to read."""

import re

_ANNOTATION_ONLY = re.compile(r"@[\w.]+\s*(\(.*\))?|\[.*\]|#\[.*\]", re.DOTALL)


def signature(code: str) -> str:
    """The code of a function from behind its decorators or annotations up to its body, white space folded.

    It is read off the brackets, without a parser: a bracket inside a string may make it a line too long or too short.
    """
    lines = iter(code.splitlines())
    for line in lines:
        text = line.strip()
        while text.count("(") > text.count(")") and (following := next(lines, None)) is not None:
            text += " " + following.strip()
        if text and not _ANNOTATION_ONLY.fullmatch(text):
            return _up_to_body(text).rstrip(" :")
    return ""


def _up_to_body(text: str) -> str:
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "{" and depth == 0:
            return text[:place]
    return text
