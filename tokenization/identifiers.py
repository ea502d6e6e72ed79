"""Names in source text: where they stand, what they name, and which of them are the same name.

Contract: `find_identifiers` gives the spans of all names that a programmer of this file chose, in order and without
overlap; renaming every name to another and back gives the text again. Keywords, literals, comments and names of the
language or of other modules are never among them.

A language's `identifiers.scm` captures every node that may be a name, and says with the capture's name what it knows:

* definitions: `@class`, `@function`, `@attribute`, `@parameter`, `@variable`, `@type` (a type parameter). A class,
  function or attribute is reached both by its plain name and as a member, unless the capture says `.plain` or
  `.member` (a Python method is a `@function.member`: without an object its name means something else);
* uses: `@use` (a plain name), `@use.call` (called), `@use.type` (in the place of a type), `@use.tag` (a type behind a
  keyword that says so, such as C's `struct`: no other name is meant), `@use.member` (behind a separator such as a full
  stop), `@use.member.call`;
* `@import` (a name that an import binds), `@ignore` (a node in which nothing but that is a name of this file),
  `@keyword` (an argument's name in a call) with `@arguments` (the arguments it stands in, right behind the name of what
  is called) or `@element` (a tag that begins with that name: `<name keyword=…>`), `@scope` (a node in which parameters
  and variables are local), `@unparsed` (code that the grammar leaves as text, such as that of a macro: all its words
  are uses, so the keywords of such a language stand in its `builtins.txt`).

A node with several captures counts as the last of them in `_ROLES`. What queries cannot tell is decided here, by name:

1. A name that is defined in the file is an identifier wherever it stands; one that hides a builtin or an import, where
   the scope that defines it reaches.
2. A name that is only imported names a thing of another module: it is no identifier, nor is a member reached from it
   (`np` and `zeros` in `np.zeros`).
3. Any other plain name is one unless it stands in `builtins.txt`; likewise any other member, except one reached from a
   builtin (`String.format`) that the language's row does not call transparent (`Shop.prototype.open`).
4. An argument's name is one where a parameter or attribute of that name, and what is called, are defined in the file.

A use has the kind of its definition: in the innermost scope that has one, else in the file. A plain name without
definition is a `type` if it stands in the place of a type somewhere in the file, else a `call` if it is called, else a
`variable`; a member without definition is a `call` if it is called somewhere, else an `attribute`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import compress
from typing import Literal, NamedTuple, cast

import tree_sitter

from .languages import Language
from .nesting import OUTSIDE, Nesting
from .source import DEFAULT_LIMITS, Limits, Source, Unparsable, builtins_of, parse

Kind = Literal["class", "function", "parameter", "variable", "attribute", "call", "type"]

# In rising strength: of several captures of a node the last one counts.
_ROLES = (
    *("use", "use.type", "use.tag", "use.call", "use.member", "use.member.call"),
    *("variable", "type", "parameter", "attribute.member", "attribute"),
    *("function.plain", "function.member", "function", "class", "keyword", "import"),
)
_DEFINITIONS = frozenset(_ROLES[_ROLES.index("variable") : _ROLES.index("keyword")])
_MEMBER_USES = frozenset({"use.member", "use.member.call"})
_PLAIN_USES = frozenset({"use", "use.type", "use.tag", "use.call", "variable", "import"})

# A word of unparsed code, behind what is none: strings, comments and numbers.
_WORD_OF_CODE = re.compile(
    rb"""(?:L|u8?|U)?"(?:[^"\\\n]|\\.)*"|(?:L|u8?|U)?'(?:[^'\\\n]|\\.)*'|//[^\n]*|\.?\d[\w.']*
    |(?:(?P<separator>\.(?<!\.\.)|->|::)\s*+)?(?P<name>[A-Za-z_$\x80-\xff][\w$\x80-\xff]*)(?P<call>(?=\s*\())?""",
    re.DOTALL | re.VERBOSE,
)

# Which kind a use takes where its name has several definitions in one scope.
_PREFERENCE: dict[str, tuple[Kind, ...]] = {
    "use.tag": ("class", "type"),
    "use.call": ("function", "class", "parameter", "variable", "attribute", "type"),
    "use.member": ("attribute", "class", "function"),
    "use.member.call": ("function", "class", "attribute"),
}
_PLAIN_PREFERENCE: tuple[Kind, ...] = ("class", "type", "parameter", "variable", "attribute", "function")
# Which use tells the kind of a name that has no definition.
_TELLING_USES: dict[str, Kind] = {
    "use.type": "type",
    "use.tag": "type",
    "use.call": "call",
    "use": "variable",
    "import": "variable",
}
_TELLING_MEMBER_USES: dict[str, Kind] = {"use.member.call": "call", "use.member": "attribute"}


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


# What `Identifier._make` does, in a third of the time.
_new_identifier = cast("Callable[[Iterable[object]], Identifier]", partial(tuple.__new__, Identifier))


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
    names = _Names(source)
    kinds = _kinds(names)
    texts = list(compress(names.texts, kinds))
    if sigils := source.language.sigils:
        texts = [text.lstrip(sigils) for text in texts]
    ends = source.characters(list(compress(names.ends, kinds)))
    starts = [end - len(text) for end, text in zip(ends, texts, strict=True)]
    ids = {name: number for number, name in enumerate(dict.fromkeys(texts), start=1)}
    rows = zip(starts, ends, texts, filter(None, kinds), map(ids.__getitem__, texts), strict=True)
    return list(map(_new_identifier, rows))


def _check_errors(source: Source) -> None:
    wrong = source.wrong_bytes()
    if wrong > source.language.error_share * len(source.data):
        raise Unparsable("syntax_error", f"syntax errors in {wrong} bytes of this {source.language.name} text")


class _Names:
    """All captured names of a text in order, as parallel lists (positions in bytes), and what the file says of them.

    Attributes:
        starts: First byte of each name.
        ends: Byte behind each name.
        texts: The names, with their sigils: `$count` and `count` are different things.
        roles: What the query says of each.
        distinct: Roles and names that occur.
        builtins: Names of the language.
        imported: Names that imports bind.
        plain: Kinds of the definitions that are reached by the plain name, by name.
        members: Kinds of the definitions that are reached as members, by name without sigils.
        parameters: Names of parameters, without sigils.
    """

    def __init__(self, source: Source) -> None:
        captures = source.captures("identifiers")
        ends: dict[int, int] = {}
        roles: dict[int, str] = {}
        for role in _ROLES:
            spans = dict(_spans(captures, role))
            ends |= spans
            roles |= dict.fromkeys(spans, role)
        for first, last in _spans(captures, "unparsed"):
            for match in _WORD_OF_CODE.finditer(source.data, first, last):
                if match["name"]:
                    role = f"use{'.member' * bool(match['separator'])}{'.call' * (match['call'] is not None)}"
                    ends[match.start("name")], roles[match.start("name")] = match.end("name"), role
        self.imported: set[str] = set()
        for start, end in _spans(captures, "import"):
            text = source.slice(start, end)
            self.imported.update(_bound_by(text, source.language))
            if text not in self.imported:
                del ends[start]
        if ignored := _spans(captures, "ignore"):
            starts = sorted(ends)
            for first, last in ignored:
                for start in starts[bisect_left(starts, first) : bisect_left(starts, last)]:
                    if roles[start] != "import":
                        ends.pop(start, None)

        self.source = source
        self.starts = sorted(start for start, end in ends.items() if end > start)
        self.ends = list(map(ends.__getitem__, self.starts))
        self.roles = list(map(roles.__getitem__, self.starts))
        self.texts = source.slices(zip(self.starts, self.ends, strict=True))
        if symbol := source.language.symbol:
            self.texts = [text.removeprefix(symbol) for text in self.texts]
        if types := source.language.type_name:
            self.roles = [
                "use.type" if role == "use" and types.match(text) else role
                for role, text in zip(self.roles, self.texts, strict=True)
            ]
        self.builtins = builtins_of(source.language)
        none = {*self.builtins.keywords, *filter(None, [source.language.blank])}
        if not none.isdisjoint(self.texts):
            self.roles = ["ignore" if text in none else role for role, text in zip(self.roles, self.texts, strict=True)]
        self.scopes = Nesting(_spans(captures, "scope"))
        self.arguments = Nesting(_spans(captures, "arguments"))
        self.elements = Nesting(_spans(captures, "element"))
        self.plain: defaultdict[str, set[str]] = defaultdict(set)
        self.members: defaultdict[str, set[str]] = defaultdict(set)
        self.parameters: set[str] = set()
        self.distinct = set(zip(self.roles, self.texts, strict=True))
        for role, name in self.distinct:
            if role in _DEFINITIONS:
                kind, _, reach = role.partition(".")
                if reach != "member":
                    self.plain[name].add(kind)
                if reach != "plain" and kind in ("class", "function", "attribute"):
                    self.members[source.bare(name)].add(kind)
                if kind == "parameter":
                    self.parameters.add(source.bare(name))


def _bound_by(text: str, language: Language) -> set[str]:
    """The names that an import may bind: the last word of its path, with and without the path's usual suffixes."""
    paths = [text, language.import_suffix.sub("", text)] if language.import_suffix else [text]
    return {word for path in paths for word in re.findall(r"[\w$]+", path)[-1:]}


def _spans(captures: dict[str, list[tree_sitter.Node]], name: str) -> list[tuple[int, int]]:
    return [node.byte_range for node in captures.get(name, ())]


def _kinds(names: _Names) -> list[Kind | None]:
    """The kind of each name, None where it is no identifier of this file."""
    uses = list(zip(names.roles, names.texts, strict=True))
    in_file = {use: _kind_in_file(names, *use) for use in names.distinct}
    kinds = [in_file[use] for use in uses]
    _narrow_to_scopes(names, kinds)
    _drop_members_of_others(names, kinds)
    for index, role in enumerate(names.roles):
        if role == "keyword":
            kinds[index] = _kind_of_keyword(names, kinds, index)
    return kinds


def _kind_in_file(names: _Names, role: str, name: str) -> Kind | None:
    """The kind of a name by all that the file defines."""
    if role in ("keyword", "ignore"):
        return None
    if role in _DEFINITIONS and role != "variable":
        return cast(Kind, role.partition(".")[0])
    is_member = role in _MEMBER_USES
    definitions = names.members.get(names.source.bare(name)) if is_member else names.plain.get(name)
    if definitions and (kind := _preferred(role, definitions)):
        return kind
    if _is_of_others(names, role, name):
        return None
    if not is_member and (definitions := names.members.get(name)) and (kind := _preferred(role, definitions)):
        return kind
    telling = _TELLING_MEMBER_USES if is_member else _TELLING_USES
    return next(kind for use, kind in telling.items() if (use, name) in names.distinct)


def _is_of_others(names: _Names, role: str, name: str) -> bool:
    """Whether a name, unless it is defined, is one of the language or of another module."""
    language = names.source.language
    is_member = role in _MEMBER_USES
    builtins = names.builtins.members if is_member else names.builtins.plain
    is_builtin = (names.source.bare(name) if is_member else name) in builtins or (
        language.calls_ignore_case and role == "use.call" and name.lower() in builtins
    )
    return is_builtin or name in names.imported


def _preferred(role: str, definitions: Collection[str]) -> Kind | None:
    return next((kind for kind in _PREFERENCE.get(role, _PLAIN_PREFERENCE) if kind in definitions), None)


def _drop_members_of_others(names: _Names, kinds: list[Kind | None]) -> None:
    """A member reached from a name that is no identifier of this file is none either."""
    data = names.source.data
    separators = {separator.encode() for separator in names.source.language.separators}
    transparent = names.source.language.transparent
    for index, end in enumerate(names.ends[:-1]):
        if kinds[index] is None and data[end : names.starts[index + 1]].strip() in separators:
            kinds[index + 1] = kinds[index + 1] if names.texts[index] in transparent else None


def _narrow_to_scopes(names: _Names, kinds: list[Kind | None]) -> None:
    """Where it makes a difference, a plain use means what is defined in the innermost scope that defines the name.

    It does for a name with definitions of several kinds, and for a builtin or an import that is hidden in some scopes.
    """
    local: dict[str, defaultdict[int, set[str]]] = {
        name: defaultdict(set)
        for name, definitions in names.plain.items()
        if len(definitions) > 1 or _is_of_others(names, "use", name)
    }
    if not local:
        return
    named: set[int] = set()
    for start, name, role in zip(names.starts, names.texts, names.roles, strict=True):
        if role not in _DEFINITIONS:
            continue
        kind, _, reach = role.partition(".")
        is_named = kind in ("function", "class")
        if is_named or name in local:
            scope = names.scopes.innermost(start)
            # The name of a function or class stands inside its node, yet it is defined in the scope around.
            if is_named and scope != OUTSIDE and scope not in named:
                named.add(scope)
                scope = names.scopes.parents[scope]
            if name in local and reach != "member":
                local[name][scope].add(kind)
    known: dict[tuple[str, str, int], Kind | None] = {}
    for index, (name, role) in enumerate(zip(names.texts, names.roles, strict=True)):
        if name in local and role in _PLAIN_USES:
            scope = names.scopes.innermost(names.starts[index])
            use = name, role, scope
            if use not in known:
                while scope not in local[name] and scope != OUTSIDE:
                    scope = names.scopes.parents[scope]
                known[use] = _preferred(role, local[name].get(scope, ()))
            kinds[index] = known[use] or (None if _is_of_others(names, role, name) else kinds[index])


def _kind_of_keyword(names: _Names, kinds: list[Kind | None], index: int) -> Kind | None:
    """The kind of an argument's name: of the parameter or attribute it names, if what is called is of this file."""
    name = names.texts[index]
    called = _called(names, names.starts[index])
    if called is None or kinds[called] is None:
        return None
    callee = names.texts[called]
    definitions = names.plain.get(callee, set()) | names.members.get(callee, set())
    if not definitions & {"class", "function"}:
        return None
    if name in names.parameters:
        return "parameter"
    return "attribute" if "attribute" in names.members.get(name, ()) else None


def _called(names: _Names, position: int) -> int | None:
    """Which name is that of what is called with the arguments, or in the tag, around a position."""
    if (tag := names.elements.innermost(position)) != OUTSIDE:
        first = names.elements.spans[tag][0] + 1
        called = bisect_left(names.starts, first)
        return called if names.starts[called] == first else None
    if (call := names.arguments.innermost(position)) != OUTSIDE:
        end = names.arguments.spans[call][0]
        called = bisect_left(names.starts, end) - 1
        return called if called >= 0 and names.ends[called] == end else None
    return None
