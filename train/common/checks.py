"""Checks that a config makes of its own fields, in `__post_init__`, so that one that exists is valid.

Contract: each function takes a config and names of its fields, and raises a ValueError that names the first field that
is wrong, the value, and what is right. A field that is None was not given and passes.
"""

from typing import Any


def require_range(
    config: Any,
    *names: str,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> None:
    """Refuse numbers outside a range.

    Args:
        config: a dataclass.
        names: its fields to check: numbers, or tuples of them.
        above: what each number must exceed.
        at_least: the smallest number allowed.
        below: what no number may reach.
        at_most: the largest number allowed.

    Raises:
        ValueError: a number is outside, or not a number at all (NaN).
    """
    bounds = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    rule = " and ".join("positive" if word == "above 0" else word for word in words)
    for name in names:
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            inside = (
                (above is None or number > above)
                and (at_least is None or number >= at_least)
                and (below is None or number < below)
                and (at_most is None or number <= at_most)
            )
            if not inside or number != number:
                raise ValueError(f"{name} must be {rule}, not {number}")


def require_positive(config: Any, *names: str) -> None:
    """Refuse numbers that are not above 0."""
    require_range(config, *names, above=0)


def require_share(config: Any, *names: str) -> None:
    """Refuse numbers that are no share: below 0 or above 1."""
    require_range(config, *names, at_least=0, at_most=1)


def require_one(config: Any, *names: str) -> None:
    """Refuse a config that gives several of some fields, or none.

    Raises:
        ValueError: not exactly one of them is given, that is, is not None.
    """
    if sum(getattr(config, name) is not None for name in names) != 1:
        raise ValueError(f"give either {' or '.join(names)}")


def require_some(config: Any, *names: str) -> None:
    """Refuse empty collections and blank texts.

    Raises:
        ValueError: one of the fields is empty.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not (value.strip() if isinstance(value, str) else value):
            raise ValueError(f"{name} is empty: give at least one")
