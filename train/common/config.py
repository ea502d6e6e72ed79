"""From a frozen config dataclass to command-line options and YAML recipes, and back.

Contract: `load_config(cls, argv)` builds `cls` from, in rising priority, the field defaults, the recipe of
`--config FILE` and the options `--field value`. Help texts come from the `Attributes:` section of the class docstring,
so a field is documented in one place only. A key that does not exist, a value of the wrong type and a missing required
field end in a `ConfigError` that names the key, the place it came from and the remedy.

What is special about a field stands in the class, too, which may name fields in three tuples: `positional`, given by
place instead of by option; `compared`, needed for comparisons only, of which `--help` gives no more than the names; and
`free`, of no effect on the result, and so left out of `deciding`.

Invariant: importing this module costs nothing but the standard library and PyYAML.
"""

import argparse
import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from .untrusted import brief, parse_yaml, read_yaml

Config = TypeVar("Config")

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class ConfigError(ValueError):
    """A recipe or a command line that does not describe a valid configuration."""


def load_config(cls: type[Config], argv: Sequence[str], prog: str | None = None) -> Config:
    """Build a config from a command line.

    Args:
        cls: a frozen dataclass whose fields are of the types that `convert` knows.
        argv: the arguments after the command's name.
        prog: how the help text calls the command.

    Raises:
        ConfigError: unknown key, wrong type, missing required field, unreadable recipe.
        SystemExit: after `--help`, as argparse does.
    """
    options = vars(_parser(cls, prog).parse_intermixed_args(_with_booleans(cls, argv)))
    recipe_file = options.pop("config")
    values = _convert_all(cls, read_recipe(recipe_file), f"{recipe_file}: ") if recipe_file else {}
    given = {name: value for name, value in options.items() if value not in (None, [])}
    for name, value in _convert_all(cls, given, "--").items():
        # A mapping on the command line changes single entries of the recipe's mapping.
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    missing = [name for name in _required(cls) if name not in values]
    if missing:
        flags = ", ".join(_flag(cls, name) for name in missing)
        raise ConfigError(f"missing: {flags} (or the same keys in the recipe given by --config)")
    return cls(**values)


def make_config(cls: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build a config from a mapping, as one section of a recipe gives it.

    Raises:
        ConfigError: unknown key, wrong type or a value that the config refuses; `where` is named in the message.
    """
    converted = _convert_all(cls, values, f"{where}: ")
    try:
        return cls(**converted)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def deciding(config: Any) -> dict[str, Any]:
    """The settings that the result depends on, those that decide it: all but the fields named in the class's `free`."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in _special(config, "free")}


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a YAML recipe: one mapping from field names to values."""
    try:
        recipe = read_yaml(Path(path))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"the recipe {error}") from error
    if recipe is None:
        return {}
    if not isinstance(recipe, dict):
        raise ConfigError(f"{path}: a recipe is a mapping `key: value`, this file holds a {type(recipe).__name__}")
    return recipe


def convert(value: Any, hint: Any, where: str) -> Any:
    """Give `value`, a YAML value or a command-line string, the type that `hint` names.

    Numbers may come as strings: YAML reads `1e-4` as one.

    Raises:
        ConfigError: the value does not fit; `where` is named in the message.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            return None
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return convert(value, inner, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {brief(value)} is none of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        items = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        return tuple(convert(item, arguments[0], where) for item in items)
    if _is_mapping(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {brief(value)}")
        return _with_numbers(value)
    try:
        if hint is bool:
            return _BOOLEANS[str(value).lower()]
        if hint is int and not isinstance(value, bool) and float(value) == int(float(value)):
            return int(float(value))
        if hint is float and not isinstance(value, bool):
            return float(value)
        if hint in (str, Path) and not isinstance(value, (dict, list, bool)):
            return hint(value)
    except (KeyError, ValueError, TypeError, OverflowError):
        pass
    raise ConfigError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {brief(value)}")


class _KeyValue(argparse.Action):
    """Collects `--field key=value …` into a mapping; dots in the key open inner mappings."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        mapping = getattr(namespace, self.dest) or {}
        for item in values:
            key, equals, value = item.partition("=")
            if not equals:
                raise ConfigError(f"{option_string}: write key=value, not {item!r}")
            *outer, last = key.split(".")
            inner = mapping
            for part in outer:
                inner = inner.setdefault(part, {})
                if not isinstance(inner, dict):
                    raise ConfigError(f"{option_string}: {key} opens {part}, which has a value already")
            try:
                inner[last] = parse_yaml(value)
            except ValueError as error:
                raise ConfigError(f"{option_string}: what follows the equals sign in {brief(item)} {error}") from error
        setattr(namespace, self.dest, mapping)


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises `ConfigError` instead of leaving the process, with the nearest option named."""

    def error(self, message: str) -> typing.NoReturn:
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        hint = _suggestion(unknown[1], self._option_string_actions) if unknown else ""
        raise ConfigError(f"{message}{hint}")


def _parser(cls: type[Any], prog: str | None) -> argparse.ArgumentParser:
    description, attributes = _documentation(cls)
    compared = _special(cls, "compared")
    more = f"for comparisons, described in the documentation: {', '.join(_flag(cls, name) for name in compared)}"
    parser = _Parser(prog=prog, description=description, epilog=more if compared else None, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML recipe; options on the command line win over it")
    hints = typing.get_type_hints(cls)
    required = _required(cls)
    for field in dataclasses.fields(cls):
        hint, positional = hints[field.name], field.name in _special(cls, "positional")
        options: dict[str, Any] = {"default": None, "help": attributes.get(field.name, "").replace("%", "%%")}
        if field.name in required:
            options["help"] += " (required)"
        elif field.default not in (dataclasses.MISSING, None, ()):
            options["help"] += f" (default: {field.default})"
        if field.name in compared:
            options["help"] = argparse.SUPPRESS
        if _is_mapping(hint):
            options |= {"action": _KeyValue, "nargs": "+", "metavar": "KEY=VALUE"}
        elif get_origin(hint) is tuple:
            options |= {"nargs": "*" if positional else "+", "metavar": field.name.upper()}
        elif hint is bool:
            options |= {"nargs": "?", "const": "true", "metavar": "BOOL"}
        else:
            options["metavar"] = (
                "|".join(map(str, get_args(hint))) if get_origin(hint) is Literal else field.name.upper()
            )
        if positional:
            parser.add_argument(field.name, **{"nargs": "?", **options})
        else:
            parser.add_argument(_flag(cls, field.name), dest=field.name, **options)
    return parser


def _with_booleans(cls: type[Any], argv: Sequence[str]) -> list[str]:
    """The arguments, with the value that `--flag` leaves out, so that it does not take the next argument."""
    hints = typing.get_type_hints(cls)
    flags = {_flag(cls, field.name) for field in dataclasses.fields(cls) if hints[field.name] is bool}
    given: list[str] = []
    for argument, following in zip(argv, [*argv, ""][1:], strict=True):
        given.append(american(argument) if argument.startswith("--") else argument)
        if argument in flags and following.lower() not in _BOOLEANS:
            given.append("true")
    return given


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes; mappings in it are changed entry by entry."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def _special(cls: Any, what: Literal["positional", "compared", "free"]) -> tuple[str, ...]:
    return getattr(cls, what, ())


def _flag(cls: type[Any], name: str) -> str:
    return name.upper() if name in _special(cls, "positional") else f"--{name.replace('_', '-')}"


def american(key: str) -> str:
    """A key with `license` spelled as the Hub does; recipes of earlier versions have `licence`."""
    name, equals, value = key.partition("=")
    return f"{name.replace('licence', 'license')}{equals}{value}"


def _convert_all(cls: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    hints = {name: hint for name, hint in typing.get_type_hints(cls).items() if get_origin(hint) is not ClassVar}
    converted = {}
    for key, value in values.items():
        name = american(str(key).replace("-", "_"))
        if name not in hints:
            raise ConfigError(f"{where}unknown key {brief(key)}{_suggestion(name, hints)}")
        converted[name] = convert(value, hints[name], f"{where}{key}")
    return converted


def _required(cls: type[Any]) -> list[str]:
    unset = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.default is unset and f.default_factory is unset]


def _with_numbers(value: Any) -> Any:
    """A YAML value in which `5e-3`, which YAML reads as a string, is a number, too."""
    if isinstance(value, dict):
        return {key: _with_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_numbers(inner) for inner in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _is_mapping(hint: Any) -> bool:
    return hint is dict or get_origin(hint) is dict


def _documentation(cls: type[Any]) -> tuple[str, dict[str, str]]:
    """Split a Google-style class docstring into its description and the help text of each attribute."""
    head, _, attributes = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")
    entries = re.findall(r"^    (\w+)(?: \(.*?\))?: (.*(?:\n {6,}.*)*)", attributes, flags=re.MULTILINE)
    return head.strip(), {name: " ".join(text.split()) for name, text in entries}


def _suggestion(word: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else "; see --help for the known ones"
