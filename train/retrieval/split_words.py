"""The words of a text, code or not; no library is needed for them.

Identifiers are split at camelCase and snake_case and lower-cased, as natural-language words are, so that "read file"
finds `readFile` and `read_file`.
"""

import re

_SMALL = r"[^\W\d_A-Z]"  # letters but A to Z, so other scripts are not split
# A run of capitals ends before the capital of the next word: HTTPServer is http, server.
_WORD = re.compile(rf"[A-Z]+(?!{_SMALL})|[A-Z]?{_SMALL}+|\d+")


def split_words(text: str) -> list[str]:
    """The words of a text in order."""
    return [word.lower() for word in _WORD.findall(text)]
