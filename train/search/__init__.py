"""Search in trees of source code: an index of their units, ranked by an encoder, BM25 and what names say.

The public names are opened when they are first asked for: the configs of the commands cost nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .filters import Filters
    from .index import Hit, Index, Update

__all__ = ["Filters", "Hit", "Index", "Update"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from . import filters, index

    return getattr(filters if name == "Filters" else index, name)
