"""JSON and YAML that others have written.

Contract: `read_json`, `read_object`, `read_yaml` and `read_metadata` give the content of a file, `parse_yaml` that of a
text, or raise a ValueError that names the file and the reason. `brief` shows a value of theirs in a message.

Invariant: time and memory are bounded by the limits below, whatever the file holds or claims: its length, its depth,
and what the aliases of YAML unfold to, which a few hundred bytes can make any number.
"""

import json
import reprlib
from pathlib import Path
from typing import Any

import yaml

JSON_BYTES = 4 << 20
YAML_BYTES = 1 << 20
YAML_UNFOLDED = 4 << 20
"""Nodes and characters of a YAML document, each alias counted as what it stands for."""
DEPTH = 64
"""Levels of nesting; configs and recipes have fewer than ten."""

# What the constructors of PyYAML raise for scalars that are not of their type, beside its own errors.
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError)


def read_json(path: Path, limit: int = JSON_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: no regular file, longer than `limit` bytes, not JSON, or nested deeper than any config is.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing, or no regular file")
    if (size := path.stat().st_size) > limit:
        raise ValueError(f"{path} is {size:,} bytes long, a file of its kind has at most {limit:,}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    level, depth = [content], 0
    while level := [inner for outer in level for inner in containers(outer)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"{path} is nested too deeply")
    return content


def read_object(path: Path, limit: int = JSON_BYTES) -> dict[str, Any]:
    """Read a JSON file that has to hold one object; raises a ValueError like `read_json`."""
    content = read_json(path, limit)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, but has to hold a JSON object")
    return content


def containers(value: Any) -> list[Any]:
    """The containers that stand in a value of JSON, at its first level."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def read_yaml(path: Path) -> Any:
    """Read a YAML file, or a pipe.

    Raises:
        ValueError: too long, not YAML in UTF-8, nested too deeply, or with aliases that unfold without end.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(YAML_BYTES + 1)
    if len(data) > YAML_BYTES:
        raise ValueError(f"{path} is longer than {YAML_BYTES:,} bytes")
    try:
        return parse_yaml(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def parse_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        ValueError: the reason, as the end of a sentence that begins with the name of the text.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, 0)
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except _Unbounded as error:
        raise ValueError(str(error)) from None
    except _YAML_ERRORS as error:
        told = (
            " ".join(str(error).split())
            if isinstance(error, yaml.YAMLError)
            else f"a value does not fit its type ({error})"
        )
        raise ValueError(f"is not YAML: {told}") from error
    finally:
        if loader is not None:
            loader.dispose()


def read_metadata(card: Path) -> dict[str, Any]:
    """The metadata of a model card: the YAML block at its beginning; an empty mapping if it has none.

    Raises:
        ValueError: the card cannot be read, or its metadata are no mapping.
    """
    if not card.is_file():
        raise ValueError(f"{card} is missing, or no regular file")
    with card.open("rb") as stream:
        data = stream.read(JSON_BYTES + 1)
    if len(data) > JSON_BYTES:
        raise ValueError(f"{card} is longer than {JSON_BYTES:,} bytes")
    try:
        content = parse_yaml(_front_matter(data.decode("utf-8")))
    except ValueError as error:
        raise ValueError(f"{card}: the metadata of the card cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{card}: the metadata of the card hold a {type(content).__name__} instead of a mapping")
    return content


def _front_matter(text: str) -> str:
    """The lines between the first two of `---`. The expression of huggingface_hub takes hours for blank lines."""
    lines = text.lstrip().splitlines()
    if not lines or lines[0] != "---":
        return ""
    for end, line in enumerate(lines[1:], start=1):
        if line == "---":
            return "\n".join(lines[1:end])
    return ""


def brief(value: Any) -> str:
    """A value as it is shown in a message, however long it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # An integer of more digits than Python writes.
        return "a number of thousands of digits"


class _Unbounded(Exception):
    """A document that cannot be taken; a ValueError would be one of PyYAML's."""


class _Loader(yaml.SafeLoader):
    """Stops at deep nesting while it looks ahead for a key, which costs the square of the depth."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level > DEPTH:
            raise _Unbounded("is nested too deeply")
        super().fetch_flow_collection_start(TokenClass)


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None], depth: int) -> tuple[int, int]:
    """Find what a node unfolds to: nodes and characters, and levels.

    Args:
        node: the node.
        known: what was found before, by identity; None while a node is being looked at.
        depth: how deep the node stands.
    """
    if id(node) in known:
        if (found := known[id(node)]) is None:
            raise _Unbounded("refers to itself by an alias")
    elif depth > DEPTH:
        raise _Unbounded("is nested too deeply")
    else:
        known[id(node)] = None
        children: list[yaml.Node] = []
        size = 1
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        else:
            size += len(node.value)
        inner = [_measure(child, known, depth + 1) for child in children]
        found = size + sum(size for size, _ in inner), 1 + max((levels for _, levels in inner), default=0)
        known[id(node)] = found
    if depth + found[1] > DEPTH + 1:
        raise _Unbounded("is nested too deeply")
    if found[0] > YAML_UNFOLDED:
        raise _Unbounded("unfolds, by its aliases, to more than any recipe holds: write it out")
    return found
