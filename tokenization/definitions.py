"""What a language's `functions.scm` finds in a text: functions, and the nodes by which their parts are told.

The query captures:

* `@function` with `@name` and `@body`: a function. Matches with the same body are one function, as wide as the widest
  `@function`: further patterns take in decorators, `export`, or the assignment in which a function stands;
* `@wrapped` instead of `@body`: a value that stands for the function in it, such as `memo(forwardRef(f))` or `f as T`.
  The body is that of the function which is reached through arguments and first children;
* `@documentation`: documentation inside the tree's node (docstrings), in one match with `@body` where it is that of the
  function of this body;
* `@undocumented`: what the query takes for documentation although it is none;
* `@comment`: every comment; `comments` tells those that document a function;
* `@annotation`: what stands above a function's node but belongs to its signature: decorators of TypeScript methods, and
  overloads, whose `@name` in the same match must be the function's;
* `@return`: return statements; `@closure`: functions without a name, whose returns are theirs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import tree_sitter

from .excerpts import Span
from .nesting import OUTSIDE, Nesting
from .source import Source

_MOST_WRAPPERS = 8
_SPANS = ("comment", "closure", "return", "documentation", "undocumented")

Annotation = tuple[tree_sitter.Node, list[str]]


@dataclass
class Definition:
    """A function in the tree (positions in bytes, lines from 1).

    Attributes:
        body: Span of its body.
        span: Span of all of it.
        lines: First and last line.
        name: Its name, empty if it has none.
        name_end: Where the name ends; what follows is parameters and body.
        has_error: Whether a syntax error stands in it.
        documentation: Spans of its documentation.
    """

    body: Span
    span: Span
    lines: tuple[int, int]
    name: str = ""
    name_end: int = 0
    has_error: bool = False
    documentation: list[Span] = field(default_factory=list)

    def take_in(self, node: tree_sitter.Node) -> None:
        """Widen the function to a node around it or beside it."""
        self.span = min(self.span[0], node.start_byte), max(self.span[1], node.end_byte)
        self.lines = min(self.lines[0], node.start_point.row + 1), max(self.lines[1], node.end_point.row + 1)
        self.has_error = self.has_error or node.has_error


class Definitions:
    """What the query finds in a text.

    Attributes:
        functions: All functions that have a name, in order.
        total: How many functions there are, also those without a name.
        comments: All comments, sorted.
        annotations: By their end, nodes that belong to the function below, with the name that it must have, if any.
        documentation: Documentation that the query has found.
        returns: By the span of a body, the return statements of that function itself.
    """

    def __init__(self, source: Source) -> None:
        found: dict[Span, Definition] = {}
        spans: dict[str, list[Span]] = {capture: [] for capture in _SPANS}
        self.annotations: dict[int, Annotation] = {}
        for _, match in source.matches("functions"):
            for capture, nodes in match.items():
                if capture in spans:
                    spans[capture] += [node.byte_range for node in nodes]
            bodies = match.get("body", ())
            if "wrapped" in match:
                bodies = [body for node in match["wrapped"] if (body := _wrapped_body(node))]
            if not bodies and "annotation" not in match:
                continue
            names = list(match.get("name", ()))
            spelled = [source.slice(*node.byte_range).lstrip(source.language.sigils) for node in names]
            self.annotations.update((node.end_byte, (node, spelled)) for node in match.get("annotation", ()))
            for body in bodies:
                function = found.setdefault(body.byte_range, Definition(body.byte_range, body.byte_range, (2**63, 0)))
                for node in match.get("function", ()):
                    function.take_in(node)
                if spelled:
                    function.name, function.name_end = spelled[-1], names[-1].end_byte
                function.documentation += [node.byte_range for node in match.get("documentation", ())]
        self.total = len(found)
        self.functions = sorted((function for function in found.values() if function.name), key=lambda f: f.span)
        self.comments = sorted(spans["comment"])
        self.documentation = spans["documentation"]
        if spans["undocumented"]:
            self._drop(set(spans["undocumented"]))
        self.returns: defaultdict[Span, list[Span]] = defaultdict(list)
        owners = Nesting([*found, *spans["closure"]])
        for span in spans["return"]:
            owner = owners.innermost(span[0])
            if owner != OUTSIDE:
                self.returns[owners.spans[owner]].append(span)

    def _drop(self, undocumented: set[Span]) -> None:
        self.documentation = [span for span in self.documentation if span not in undocumented]
        for function in self.functions:
            function.documentation = [span for span in function.documentation if span not in undocumented]


def _wrapped_body(node: tree_sitter.Node, wrappers: int = _MOST_WRAPPERS) -> tree_sitter.Node | None:
    """The body of the function that a value wraps, None if it wraps none or several."""
    if body := node.child_by_field_name("body"):
        return body
    if not wrappers:
        return None
    arguments = node.child_by_field_name("arguments")
    inner = [child for child in (arguments or node).named_children if not child.is_extra]
    if arguments:
        functions = [child for child in inner if child.child_by_field_name("body")]
        inner = functions or [child for child in inner if child.child_by_field_name("arguments")]
        return _wrapped_body(inner[0], wrappers - 1) if len(inner) == 1 else None
    # A value and its type, or a type and its value.
    return next(filter(None, (_wrapped_body(child, wrappers - 1) for child in inner[:2])), None)
