"""Lines of comments that speak to tools or divide a file: no documentation, in whatever convention.

Contract: `without_marks` empties such lines and leaves the others as they are, so what stands above and below keeps
its place. A line counts only whole: a description that mentions a region or a rule of dashes is left alone.
"""

from __future__ import annotations

import re

_VERB = r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)"
_RULE = r"[-=*#~_+/<>|]"

_MARK = re.compile(
    rf"""[ \t]*+(?:
        # ===== Section =====, ---- Section, Section #### (but not #### Section, a heading)
        {_RULE}{{3,}}[ \t]*[^\s][^\n]*?[ \t]*{_RULE}{{3,}}
      | [-~_*/]{{4,}}[ \t]+[^\n]*
      | [^\n.]*[^\s.{_RULE[1:-1]}][ \t]+{_RULE}{{4,}}
        # ends of folds, and what a fold holds where that is a name or a prototype
      | \}}\}}\}}[^\n]*
      | \{{\{{\{{\d?[ \t]*(?:proto\b[^\n]*|[\w:]+(?:\(\))?)?
        # regions of editors
      | \#(?:end)?region\b[^\n]*|endregion\b[^\n]*|</?editor-fold\b[^\n]*|\#?pragma[ \t]+mark\b[^\n]*|MARK:[^\n]*
        # what tools are told
      | (?:eslint-|tslint:|jshint[ ]|istanbul[ ]|prettier-|biome-|webpack[A-Z]|phpcs:)[^\n]*
      | (?:noinspection\b|CHECKSTYLE[: ]|CPD-O|NOSONAR|NOLINT|NOPMD|\#nosec|nolint:|nosec\b)[^\n]*
        # the routes that a function answers: GET /users/1
      | {_VERB}(?:[ \t]*[,|/][ \t]*{_VERB})*:?[ \t]+[`'"]?(?:/|https?:)\S*
    )[ \t]*""",
    re.VERBOSE,
)
_LONGEST_MARK = 200  # The time of the pattern grows with the cube of it.
# Only at the beginning is it sure that no sentence goes on.
_REGION = re.compile(r"\A\s*region\b(?![^\n]*\.(?:\s|$))[^\n]*")
_FOLD = re.compile(r"^([ \t]*)\{\{\{\d?[ \t]*|[ \t]*\{\{\{\d?[ \t]*$", re.MULTILINE)


def without_marks(text: str) -> str:
    """The text of a comment, markers taken off, with its marks emptied."""
    text = _REGION.sub("", text)
    lines = text.split("\n")
    text = "\n".join("" if len(line) <= _LONGEST_MARK and _MARK.fullmatch(line) else line for line in lines)
    return _FOLD.sub(r"\1", text) if "{{{" in text else text
