"""What a source file must be like to enter the corpus, and what is taken out of it, all in this one place.

Contract: `is_vendored` and `is_test` judge a file by its path, `reject_name` by its name and size before it is read,
`reject_text` by its text; a file that is left out has one of `REASONS`, for counting. `clean` cuts a licence header and
replaces e-mail addresses. Thresholds are those of a trial on 1.6 GB of packages in nine languages; the longest line is
also that of The Stack.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from .licences import ALL, is_selected

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
    "vendored",  # in a folder of other people's code
    "test",  # tests, of which a corpus of packages takes a share
    "other_licence",  # names a licence that is not selected
    "duplicate",  # of a file that is in the corpus, white space aside
    "near_duplicate",  # shares most of its text with a file that is in the corpus
    "contaminated",  # holds a function of an evaluation set
    "over_package_share",  # its package has enough files of its language in the corpus
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
        "3rdparty",
        "__pycache__",
        "__snapshots__",
        "_vendor",
        "_vendored_packages",
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
        "thirdparty",
        "vendor",
        "vendored",
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


def is_vendored(path: str) -> bool:
    """Whether a file of a package stands in a folder of `SKIPPED_FOLDERS`, or in a hidden one."""
    folders = path.removeprefix("usr/lib/python3/dist-packages/").lower().split("/")[:-1]
    return any(folder in SKIPPED_FOLDERS or folder.startswith(".") for folder in folders)


_TEST_PATH = re.compile(
    r"""(?:^|/)(?:tests?|__tests__|specs?|unittests?|testsuite|[\w.-]*[._-]tests?)/
      | (?:^|/)(?:test_[^/]*|conftest|[^/]*(?:[._-](?:test|tests|spec)|(?<=[a-z0-9])(?:Tests?|TestCase|Spec)))\.\w+$""",
    re.VERBOSE,
)


def is_test(path: str) -> bool:
    """Whether a path says that a file is a test."""
    return bool(_TEST_PATH.search(path))


class Cleaned(NamedTuple):
    """A text as it goes into the corpus.

    Attributes:
        text: the text.
        header: the licence header that was cut, empty if there was none.
        addresses: number of e-mail addresses that were replaced.
    """

    text: str
    header: str
    addresses: int

    @property
    def lines(self) -> int:
        """By how many lines a line of the text stands further down in the file."""
        return len(re.findall(_END, self.header))


ADDRESS = "name@example.com"
"""Stands for every e-mail address: code stays code, and what it says is harmless (RFC 2606)."""

_ADDRESS = re.compile(
    r"\b[A-Za-z0-9][\w.+-]*@(?!example\.)(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+"
    r"(?:com|org|net|edu|gov|mil|int|info|biz|name|dev|app|io|ai|me|tv|cc|co|us|uk|ca|au|nz|in|cn|jp|kr|tw|hk|sg|ru|ua|de"
    r"|fr|it|es|pt|nl|be|ch|at|se|no|fi|dk|is|ie|pl|cz|sk|hu|ro|bg|gr|tr|il|za|br|ar|cl|mx|eu|asia|xyz|online|tech|cloud"
    r"|site|email|pro|by|lt|lv|ee|si|hr|rs|lu|id|th|vn|my|ph|ir)\b(?!\()",
)

# Comments at the beginning of a file: what may stand above them, a block, and lines with the same mark.
# Lines end in a line feed, a carriage return, or both.
_END = r"(?:\r\n?|\n)"
_ABOVE = re.compile(rf"(?:\ufeff|#![^\r\n]*{_END}|<\?php\b[^\r\n]*{_END}?|\s|#[^\r\n]*coding[:=][^\r\n]*{_END})*")
_COMMENT = re.compile(
    rf"/\*.*?\*/[ \t]*{_END}?|(?:[ \t]*//[^\r\n]*(?:{_END}|\Z))+|(?:[ \t]*#(?:[ \t#*=-][^\r\n]*)?(?:{_END}|\Z))+"
    rf"|#region[^\r\n]*{_END}(?:[ \t]*(?://[^\r\n]*)?{_END})*[ \t]*#endregion[^\r\n]*(?:{_END}|\Z)",
    re.DOTALL,
)
_LICENCE_WORDS = re.compile(
    r"""copyright | \(c\)\s*\d{4} | © | licen[sc]ed?\ (?:under|to) | \blicen[sc]e\b | SPDX-License-Identifier
      | all\ rights\ reserved | permission\ is\ hereby\ granted | redistributions?\ (?:and\ use|of\ source)""",
    re.VERBOSE | re.IGNORECASE,
)
_MOST_HEADERS = 5
"""Comments that are looked at: copyright and licence often stand apart."""


def clean(text: str) -> Cleaned:
    """Cut the comments at the beginning that speak of copyright and licence; replace e-mail addresses.

    A line above them, such as `#!` or `<?php`, stays. Nothing else is changed, and no line is moved but by the cut.
    """
    begin = position = _ABOVE.match(text).end()  # type: ignore[union-attr]  # it matches the empty text
    end = begin
    for _ in range(_MOST_HEADERS):
        comment = _COMMENT.match(text, position)
        if comment is None:
            break
        position = _ABOVE.match(text, comment.end()).end()  # type: ignore[union-attr]
        if _LICENCE_WORDS.search(comment[0]):
            end = position
    header = text[begin:end]
    rest = text[:begin] + text[end:]
    addresses = 0
    if "@" in rest:
        rest, addresses = _ADDRESS.subn(ADDRESS, rest)
    return Cleaned(rest, header, addresses)


_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n*]*?)[ \t]*(?:\*/|-->|[\r\n]|$)")
_COPYLEFT = re.compile(
    r"""GNU\s+(?:(?:Lesser|Library|Affero)\s+)?(?:General\s+)?Public\s+Licen[sc]e | Mozilla\s+Public\s+Licen[sc]e
      | Eclipse\s+Public\s+Licen[sc]e | Common\s+(?:Development\s+and\s+Distribution|Public)\s+Licen[sc]e
      | Microsoft\s+(?:Public|Reciprocal)\s+Licen[sc]e | European\s+Union\s+Public\s+Licen[sc]e
      | \b[AL]?GPL(?:v?[23]|\b)""",
    re.VERBOSE,
)
_CHOICE = re.compile(r"\b(?:alternatively|either|dual|at your option|or the)\b", re.IGNORECASE)


def names_other_licence(header: str, selection: Iterable[str]) -> bool:
    """Whether a file's header names a licence outside a selection, whatever its package says.

    A tag of SPDX decides where there is one. Otherwise words do: the names of licences that ask for more than
    permissive ones, unless the header offers a choice.

    Args:
        header: what `clean` has cut.
        selection: names of licences and groups; see `licences`.
    """
    names = set(selection)
    if ALL in names:
        return False
    if tags := _TAG.findall(header):
        return not all(is_selected(tag, names) for tag in tags)
    return bool(_COPYLEFT.search(header)) and not _CHOICE.search(header)
