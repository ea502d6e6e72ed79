"""Names in source text: where they stand, what they name, and which of them are the same name.

Contract: `find_identifiers` gives the spans of all names that a programmer of this file chose, in order and without
overlap; renaming every name to another and back gives the text again. Keywords, literals, comments and names of the
language or of other modules are never among them.

A language's `identifiers.scm` captures every node that may be a name, and says with the capture's name what it knows:

* definitions: `@class`, `@function`, `@parameter`, `@variable`, `@attribute`, `@type` (a type parameter);
* uses: `@use` (a plain name), `@use.call` (called), `@use.type` (in the place of a type), `@use.member` (behind a
  separator such as a full stop), `@use.member.call`;
* `@import` (a name that an import binds), `@ignore` (a node in which nothing but that is a name of this file),
  `@keyword` (an argument's name in a call) with `@arguments` (the arguments it stands in), `@scope` (a node in which
  parameters and variables are local).

A node with several captures counts as the last of them in `_ROLES`. What queries can not tell is decided here, by name:

1. A plain name that is defined in the file is an identifier wherever it stands, also when it hides a builtin.
   Definitions of parameters and variables are plain; those of classes, functions and attributes are members as well.
2. A plain name that is only imported names a thing of another module: it is no identifier, nor is a member reached
   from it (`np` and `zeros` in `np.zeros`).
3. Any other plain name is one unless it stands in `builtins.txt`; likewise any other member, except one reached from a
   builtin (`String.format`).
4. An argument's name is one where a parameter or attribute of that name, and what is called, are defined in the file.

A use has the kind of its definition: of the innermost scope that has one, else of the file. A name without definition
is a `call` where it is called, a `type` in the place of a type, an `attribute` as a member, else a `variable`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

import tree_sitter

from .nesting import OUTSIDE, Nesting
from .source import DEFAULT_LIMITS, Limits, Source, Unparsable, builtins_of, parse

Kind = Literal["class", "function", "parameter", "variable", "attribute", "call", "type"]

# In rising strength: of several captures of a node the last one counts.
_ROLES = (
    *("use", "use.type", "use.call", "use.member", "use.member.call"),
    *("variable", "type", "parameter", "attribute", "function", "class"),
    *("keyword", "import"),
)
_DEFINITIONS = frozenset({"class", "function", "parameter", "variable", "attribute", "type"})

# Which kind a use takes where its name has several definitions in one scope, and where it has none.
_PLAIN: tuple[Kind, ...] = ("class", "type", "parameter", "variable", "attribute", "function")
_CALLED: tuple[Kind, ...] = ("function", "class", "parameter", "variable", "attribute", "type")
_PREFERENCE: dict[str, tuple[Kind, ...]] = {
    "use": _PLAIN,
    "use.type": _PLAIN,
    "use.call": _CALLED,
    "use.member": ("attribute", "class", "function"),
    "use.member.call": ("function", "class", "attribute"),
    "import": _PLAIN,
    "variable": _PLAIN,
}
_PLAIN_USES = frozenset({"use", "use.type", "use.call", "import", "variable"})
_UNDEFINED: dict[str, Kind] = {
    "use": "variable",
    "use.type": "type",
    "use.call": "call",
    "use.member": "attribute",
    "use.member.call": "call",
}


class Identifier(NamedTuple):
    """One occurrence of a name (immutable).

    Attributes:
        start: First character of the name in the text.
        end: Character behind the name: `text[start:end] == name`.
        name: The name, without sigils.
        kind: What it names. `call`: something called that is not defined in this file. `type`: a type that is not
            defined in this file, or a type parameter.
        id: 1..n, one for each distinct name, in order of first appearance.
    """

    start: int
    end: int
    name: str
    kind: Kind
    id: int


def find_identifiers(text: str, language: str, limits: Limits = DEFAULT_LIMITS) -> list[Identifier]:
    """All identifiers of a text, sorted by position, never overlapping.

    Args:
        text: Source code, a whole file or a part.
        language: Name or alias of a language.
        limits: What the text may cost.

    Raises:
        ValueError: The language is unknown.
        Unparsable: The text is outside the limits, or has syntax errors beyond what the language's row allows.
    """
    return identifiers_of(parse(text, language, limits))


def identifiers_of(source: Source) -> list[Identifier]:
    """All identifiers of a parsed text; see `find_identifiers`."""
    _check_errors(source)
    names = _collect(source)
    chosen = [
        (start, name, kind) for start, name, kind in zip(names.starts, names.texts, _kinds(names), strict=True) if kind
    ]
    ids: dict[str, int] = {}
    return [
        Identifier(start, start + len(name), name, kind, ids.setdefault(name, len(ids) + 1))
        for start, (_, name, kind) in zip(source.characters([start for start, _, _ in chosen]), chosen, strict=True)
    ]


def _check_errors(source: Source) -> None:
    if not source.tree.root_node.has_error:
        return
    allowed = source.language.error_share * len(source.data)
    wrong = 0
    open_nodes = [source.tree.root_node]
    while open_nodes and wrong <= allowed:
        node = open_nodes.pop()
        if node.is_error or node.is_missing:
            wrong += max(1, node.end_byte - node.start_byte)
        elif node.has_error:
            open_nodes.extend(node.children)
    if wrong > allowed:
        raise Unparsable("syntax_error", f"syntax errors in {wrong} bytes or more of this {source.language.name} text")


@dataclass
class _Names:
    """All captured names in order, as parallel lists (positions in bytes), and what the file says of them."""

    source: Source
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    imported: set[str] = field(default_factory=set)
    definitions: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    scopes: Nesting = field(default_factory=lambda: Nesting([]))
    arguments: Nesting = field(default_factory=lambda: Nesting([]))


def _collect(source: Source) -> _Names:
    captures = source.captures("identifiers")
    found: dict[int, tuple[int, str]] = {}
    for role in _ROLES:
        for node in captures.get(role, ()):
            start, end = node.byte_range
            found[start] = end, role
    names = _Names(source, scopes=_nesting(captures, "scope"), arguments=_nesting(captures, "arguments"))
    ignored = _nesting(captures, "ignore")
    sigils = source.language.sigils
    for start in sorted(found):
        end, role = found[start]
        if role != "import" and ignored.innermost(start) != OUTSIDE:
            continue
        name = source.slice(start, end)
        if sigils:
            name = name.lstrip(sigils)
            start = end - len(name.encode("utf-8", "surrogatepass"))
        if role == "import":
            words = re.findall(r"\w+", name)
            names.imported.update(words[-1:])
            if words != [name]:
                continue
        elif role in _DEFINITIONS:
            names.definitions[name].add(role)
        if name:
            names.starts.append(start)
            names.ends.append(end)
            names.texts.append(name)
            names.roles.append(role)
    return names


def _nesting(captures: dict[str, list[tree_sitter.Node]], name: str) -> Nesting:
    return Nesting(node.byte_range for node in captures.get(name, ()))


def _kinds(names: _Names) -> list[Kind | None]:
    """The kind of each name, None where it is no identifier of this file."""
    separators = {separator.encode() for separator in names.source.language.separators}
    data = names.source.data
    local = _local_definitions(names)
    by_use: dict[tuple[str, str], Kind | None] = {}
    kinds: list[Kind | None] = []
    end_before = 0
    for start, end, name, role in zip(names.starts, names.ends, names.texts, names.roles, strict=True):
        kind: Kind | None
        if role == "keyword":
            kind = _kind_of_keyword(names, kinds, name, start)
        elif kinds and kinds[-1] is None and data[end_before:start] in separators:
            kind = None
        else:
            use = role, name
            if use not in by_use:
                by_use[use] = _kind_in_file(names, role, name)
            kind = by_use[use]
            if kind and name in local and role in _PLAIN_USES:
                kind = _preferred(_PREFERENCE[role], _visible(local[name], names.scopes, start)) or kind
        kinds.append(kind)
        end_before = end
    return kinds


def _kind_in_file(names: _Names, role: str, name: str) -> Kind | None:
    """The kind of a name by all that the file defines."""
    if role not in _PREFERENCE:
        return cast(Kind, role)
    kind = _preferred(_PREFERENCE[role], names.definitions.get(name, ()))
    is_member = role not in _PLAIN_USES
    if kind or name in builtins_of(names.source.language)[is_member] or (name in names.imported and not is_member):
        return kind
    return _UNDEFINED[role]


def _preferred(preference: tuple[Kind, ...], definitions: Collection[str]) -> Kind | None:
    return next((kind for kind in preference if kind in definitions), None)


def _kind_of_keyword(names: _Names, kinds: list[Kind | None], name: str, start: int) -> Kind | None:
    """The kind of an argument's name: of the parameter or attribute it names, if what is called is of this file."""
    kind = _preferred(("parameter", "attribute"), names.definitions.get(name, ()))
    call = names.arguments.innermost(start)
    if kind is None or call == OUTSIDE:
        return None
    called = bisect_right(names.starts, names.arguments.spans[call][0]) - 1
    is_adjacent = called >= 0 and names.ends[called] == names.arguments.spans[call][0]
    if not is_adjacent or kinds[called] is None:
        return None
    return kind if names.definitions.get(names.texts[called], set()) & {"class", "function"} else None


def _local_definitions(names: _Names) -> dict[str, dict[int, set[str]]]:
    """Definitions by scope, of the names that have definitions of several kinds."""
    local: dict[str, dict[int, set[str]]] = {
        name: defaultdict(set) for name, definitions in names.definitions.items() if len(definitions) > 1
    }
    if not local:
        return local
    named: set[int] = set()
    for start, name, role in zip(names.starts, names.texts, names.roles, strict=True):
        if role not in _DEFINITIONS:
            continue
        scope = names.scopes.innermost(start)
        # The name of a function or class stands inside its node, yet it is defined in the scope around.
        if role in ("function", "class") and scope not in named and scope != OUTSIDE:
            named.add(scope)
            scope = names.scopes.parents[scope]
        if name in local:
            local[name][scope].add(role)
    return local


def _visible(definitions: dict[int, set[str]], scopes: Nesting, position: int) -> set[str]:
    """The definitions in the innermost scope around a position that has any."""
    scope = scopes.innermost(position)
    while scope not in definitions and scope != OUTSIDE:
        scope = scopes.parents[scope]
    return definitions.get(scope, set())
