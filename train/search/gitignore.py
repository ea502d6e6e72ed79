"""Lines of a `.gitignore`, matched as git matches them, all at once and in bounded time.

Contract: `RuleSet(lines).decide(path, is_folder)` says what the last line that matches a path makes of it. Lines mean
what gitignore(5) and git's `wildmatch` make of them, byte by byte.

How: every line becomes a chain of states, one for each character or set of characters, and stars are states that stay.
All chains of a file lie side by side in the bits of one integer, so a byte of a path moves all of them by a few
operations (Shift-And; Baeza-Yates and Gonnet 1992). Time grows with the length of the path and the size of the file,
whatever is in them.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass, field

_SLASH = ord("/")
_EVERY = frozenset(range(256))
_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "digit": string.digits,
    "graph": "".join(map(chr, range(33, 127))),
    "lower": string.ascii_lowercase,
    "print": "".join(map(chr, range(32, 127))),
    "punct": string.punctuation,
    "space": string.whitespace,
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}

Set = frozenset[int]


@dataclass(frozen=True)
class _Rule:
    """One line that says something.

    Attributes:
        ignores: whether what it matches is ignored; if not, it is taken back in.
        folders_only: whether the line ends with a slash.
        floats: whether it is compared with names, at any depth, and not with paths.
        steps: the sets of bytes that its characters match, and between them stars: `"*"` for any number of bytes but
            slashes, `"**"` for any number of bytes, `"**/"` for any number of whole folders.
    """

    ignores: bool
    folders_only: bool
    floats: bool
    steps: tuple[Set | str, ...]


@dataclass
class _Machine:
    """Chains of states side by side; bit n of an integer is state n.

    Attributes:
        size: how many states there are.
        start: the states in which the chains begin.
        moves: by byte, the states from which it leads to the next one.
        stays: by byte, the states that it does not leave.
        optional: states that may be passed over the moment they are reached.
        rules: number of the rule that is matched in a state, by state.
        ends: the states at the ends of chains; of those that match folders only, apart.
    """

    size: int = 0
    start: int = 0
    moves: dict[int, int] = field(default_factory=dict)
    stays: dict[int, int] = field(default_factory=dict)
    optional: int = 0
    rules: dict[int, int] = field(default_factory=dict)
    ends: int = 0
    folder_ends: int = 0

    def last_match(self, text: bytes, is_folder: bool) -> int:
        """The number of the last rule that matches a text, -1 if none does."""
        states = self.start | ((self.start & self.optional) << 1)
        for byte in text:
            moved = (states & self.moves.get(byte, 0)) << 1
            states = moved | ((moved & self.optional) << 1) | (states & self.stays.get(byte, 0))
            if not states:
                return -1
        matched = states & (self.ends | self.folder_ends if is_folder else self.ends)
        return self.rules[matched.bit_length() - 1] if matched else -1


class RuleSet:
    """The lines of one file.

    Args:
        lines: without their ends.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _parse(line)) is not None]
        self._names, self._paths = (
            _build([(number, rule) for number, rule in enumerate(self._rules) if rule.floats is floats])
            for floats in (True, False)
        )
        self.size = self._names.size + self._paths.size
        """How many states it has: what a byte of a path costs."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def has_plain(self) -> bool:
        """Whether a line has no exclamation mark."""
        return any(rule.ignores for rule in self._rules)

    def decide(self, path: bytes, is_folder: bool) -> bool | None:
        """Whether a path is ignored (True), or taken back in (False), or no line matches it (None).

        Args:
            path: below the folder of the file, with slashes.
            is_folder: whether it is a folder.
        """
        last = self._names.last_match(path.rpartition(b"/")[2], is_folder) if self._names.size else -1
        if self._paths.size:
            last = max(last, self._paths.last_match(path, is_folder))
        return self._rules[last].ignores if last >= 0 else None


def _parse(line: str) -> _Rule | None:
    """What a line says; None if it is blank, a comment or no pattern."""
    text = _without_blanks(line.encode("utf-8", "surrogateescape"))
    if not text or text.startswith(b"#"):
        return None
    ignores = not text.startswith(b"!")
    text = text if ignores else text[1:]
    folders_only = text.endswith(b"/")
    text = text[:-1] if folders_only else text
    floats = b"/" not in text
    text = text[1:] if text.startswith(b"/") else text
    steps = _steps(text, floats)
    return _Rule(ignores, folders_only, floats, steps) if steps else None


def _without_blanks(text: bytes) -> bytes:
    """A line without the blanks at its end; one behind a backslash stays."""
    end = place = 0
    while place < len(text):
        place += 2 if text[place : place + 1] == b"\\" else 1
        if text[place - 1 : place] != b" " or text[place - 2 : place - 1] == b"\\":
            end = min(place, len(text))
    return text[:end]


def _steps(text: bytes, floats: bool) -> tuple[Set | str, ...] | None:
    """The steps of a pattern; None if it can match nothing."""
    steps: list[Set | str] = []
    any_byte = _EVERY if floats else _EVERY - {_SLASH}
    place = 0
    while place < len(text):
        byte = text[place]
        if byte == ord("*"):
            end = place
            while end < len(text) and text[end] == byte:
                end += 1
            whole = end - place > 1 and (place == 0 or text[place - 1] == _SLASH)
            if whole and text[end : end + 1] == b"/":
                if steps[-1:] != ["**/"]:
                    steps.append("**/")
                place = end + 1
                continue
            if whole and (end == len(text) or text[end : end + 2] == b"\\/"):
                steps.append("**")
            else:
                steps.append("*")
            place = end
        elif byte == ord("?"):
            steps.append(any_byte)
            place += 1
        elif byte == ord("["):
            found = _bracket(text, place)
            if found is None:
                return None
            members, place = found
            steps.append(members if floats else members - {_SLASH})
        else:
            if byte == ord("\\"):
                place += 1
                if place == len(text):
                    return None
            steps.append(frozenset({text[place]}))
            place += 1
    return tuple(steps)


def _bracket(text: bytes, place: int) -> tuple[Set, int] | None:
    """The bytes in the brackets that open at a place, and the place behind them; None if they are malformed."""
    place += 1
    negated = text[place : place + 1] in (b"^", b"!")
    place += negated
    members: set[int] = set()
    before: int | None = None
    first = True
    while first or text[place : place + 1] != b"]":
        first = False
        if place >= len(text):
            return None
        byte = text[place]
        if byte == ord("-") and before is not None and text[place + 1 : place + 2] not in (b"", b"]"):
            place += 1
            if text[place] == ord("\\"):
                place += 1
                if place >= len(text):
                    return None
            members.update(range(before, text[place] + 1))
            before = None
        elif byte == ord("[") and text[place + 1 : place + 2] == b":":
            end = text.find(b"]", place + 2)
            if end < 0:
                return None
            if end == place + 2 or text[end - 1] != ord(":"):  # no class: a bracket like any other character
                members.add(byte)
                before = byte
            else:
                named = _CLASSES.get(text[place + 2 : end - 1].decode("latin-1"))
                if named is None:
                    return None
                members.update(named.encode())
                before = None
                place = end
        else:
            if byte == ord("\\"):
                place += 1
                if place >= len(text):
                    return None
                byte = text[place]
            members.add(byte)
            before = byte
        place += 1
    return (_EVERY - members if negated else frozenset(members)), place + 1


def _build(rules: list[tuple[int, _Rule]]) -> _Machine:
    machine = _Machine()
    moves: dict[int, bytearray] = {}
    size = sum(len(rule.steps) + 1 for _, rule in rules)
    start, optional, ends, folder_ends = (bytearray(size // 8 + 1) for _ in range(4))
    every, every_but_slash = bytearray(size // 8 + 1), bytearray(size // 8 + 1)
    stay_always, stay_in_folder = bytearray(size // 8 + 1), bytearray(size // 8 + 1)
    state = 0
    for number, rule in rules:
        _set(start, state)
        for step in rule.steps:
            if step == "*":
                _set(stay_in_folder, state)
            elif step == "**":
                _set(stay_always, state)
            elif step == "**/":
                # Of its own state, which is left at a slash: a folder's name may not be cut.
                _set(stay_always, state)
                _set(optional, state)
                _set(moves.setdefault(_SLASH, bytearray(size // 8 + 1)), state)
                state += 1
            else:
                if len(step) == len(_EVERY):
                    _set(every, state)
                elif len(step) == len(_EVERY) - 1 and _SLASH not in step:
                    _set(every_but_slash, state)
                else:
                    for byte in step:
                        _set(moves.setdefault(int(byte), bytearray(size // 8 + 1)), state)
                state += 1
        _set(folder_ends if rule.folders_only else ends, state)
        machine.rules[state] = number
        state += 1
    whole = {name: int.from_bytes(bits, "little") for name, bits in (("every", every), ("rest", every_but_slash))}
    for byte in range(256):
        own = int.from_bytes(moves.get(byte, b""), "little")
        machine.moves[byte] = own | whole["every"] | (0 if byte == _SLASH else whole["rest"])
        kept = int.from_bytes(stay_always, "little")
        machine.stays[byte] = kept if byte == _SLASH else kept | int.from_bytes(stay_in_folder, "little")
    machine.size = size
    machine.start, machine.optional = int.from_bytes(start, "little"), int.from_bytes(optional, "little")
    machine.ends, machine.folder_ends = int.from_bytes(ends, "little"), int.from_bytes(folder_ends, "little")
    return machine


def _set(bits: bytearray, place: int) -> None:
    bits[place >> 3] |= 1 << (place & 7)
