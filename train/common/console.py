r"""The one way to a terminal: whole lines that do not break progress bars, and no control sequence of a stranger's.

Contract: `say` and `note` write lines, `printable` spells a text that others have written (a path, a key of their
config, a signature out of their code) so that it stands within one line.

Invariant: no character that a terminal acts on gets through, whoever wrote it: control characters, among them the
beginning of every escape sequence, and the marks that turn the direction of writing around are spelled `\x1b`. What
the terminal's encoding lacks is spelled as well, and never an error.
"""

import sys
import unicodedata
from typing import TextIO

from tqdm import tqdm

_HARMLESS = frozenset("\u200c\u200d")
"""Of the invisible format characters those that languages and emoji are written with: (non-)joiners."""


def printable(text: str) -> str:
    r"""Spell out all that is not to be seen in a text, line ends and tabs too: `\n`, `\x1b`, `\u202e`."""
    return "".join(character if _is_visible(character) else _spelled(character) for character in text)


def say(message: str) -> None:
    """Write a message to standard output, above any progress bar that is running."""
    _write(message, sys.stdout)


def note(message: str) -> None:
    """Write a message that is no result to standard error, where a program that reads the results does not meet it."""
    _write(message, sys.stderr)


def _write(message: str, stream: TextIO) -> None:
    """Write lines; tabs in them stay."""
    lines = ("\t".join(map(printable, line.split("\t"))) for line in message.split("\n"))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    tqdm.write("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _is_visible(character: str) -> bool:
    # Cc: control; Cf: format, such as the marks of direction; Cs: half a surrogate pair; Zl, Zp: ends of lines.
    return character in _HARMLESS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
