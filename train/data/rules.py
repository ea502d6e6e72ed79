"""What a source file must be like to enter the corpus, all in this one place.

Contract: `reject_name` judges a file by its name and size before it is read, `reject_text` by its text; both give one
of `REASONS`, for counting, or None. Thresholds are those of a trial on 1.6 GB of packages in nine languages; the
longest line is also that of The Stack.
"""

import re
from typing import Literal, get_args

Reason = Literal[
    "not_selected",  # of a language that is not asked for
    "symbolic_link",
    "not_a_regular_file",  # reading a pipe or a device may never end
    "unreadable",
    "too_large",
    "too_small",
    "binary",
    "not_utf8",
    "minified",
    "generated",
    "duplicate",  # of a file that is in the corpus, white space aside
    "crash",  # its worker process ended
    "time_limit",  # its worker process was stopped
]
REASONS: tuple[Reason, ...] = get_args(Reason)

MIN_BYTES = 64
LONGEST_LINE = 1000
LONGEST_MEAN_LINE = 120
HEADER = 1200
"""A notice that a file is generated is looked for in this many characters at its beginning."""

SKIPPED_FOLDERS = frozenset(
    {
        "__pycache__",
        "__snapshots__",
        "bower_components",
        "dist-packages",
        "fixtures",
        "generated",
        "locale",
        "node_modules",
        "site-packages",
        "snapshots",
        "testdata",
        "third_party",
        "vendor",
    }
)
"""Folders of other people's, generated or test data code; hidden folders and virtual environments are skipped too."""

_GENERATED_NAME = re.compile(
    r"""[.-]min\.\w+$ | \.bundle\.js$ | \.d\.ts$ | \.designer\.cs$ | \.g\.cs$ | \.generated\.\w+$
      | \.pb\.\w+$ | _pb2(_grpc)?\.pyi?$ | ^zz_generated | ^bindata\.go$""",
    re.VERBOSE | re.IGNORECASE,
)
_GENERATED_HEADER = re.compile(
    r"""@generated\b | \bauto-?generated\b | \b(automatically|machine)[ -]generated\b | \bgenerated[ ]automatically\b
      | \bcode[ ]generated\b | \bdo[ ]not[ ](edit|modify)\b
      | \bgenerated[ ](by|from|with)[ ]['"`./\w-]*\.\w | ^\W*generated[ ](by|from)\b""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


def reject_name(name: str, size: int, max_bytes: int) -> Reason | None:
    """Judge a file before its text is looked at.

    Args:
        name: the file's name, without its folders.
        size: its size in bytes.
        max_bytes: the largest size that is taken.
    """
    if _GENERATED_NAME.search(name):
        return "generated"
    if size > max_bytes:
        return "too_large"
    return "too_small" if size < MIN_BYTES else None


def reject_text(text: str) -> Reason | None:
    """Judge a file by its text."""
    lines = text.splitlines()
    if any(len(line) > LONGEST_LINE for line in lines) or sum(map(len, lines)) > LONGEST_MEAN_LINE * len(lines):
        return "minified"
    return "generated" if _GENERATED_HEADER.search(text, 0, HEADER) else None
