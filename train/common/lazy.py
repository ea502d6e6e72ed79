"""Public names of a package that are imported when they are first used.

Contract: a package's `__init__.py` writes its imports under `if TYPE_CHECKING:`, for readers and type checkers, and
`__getattr__, __all__ = lazy_names(__name__, {...})` with the same names by module.

Invariant: importing the package imports none of those modules, so `--help` stays light.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """Make the `__getattr__` of a package, and its `__all__`.

    Args:
        package: the package's `__name__`.
        modules: the names that each of its modules offers, separated by blanks.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get, sorted(homes)
