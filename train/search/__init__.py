"""Search in a tree of source code: an index of its functions, ranked by an encoder together with BM25."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .configs import SearchConfig as SearchConfig
    from .index import Hit as Hit
    from .index import Index as Index
    from .index import Update as Update

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "configs": "SearchConfig",
        "index": "Hit Index Update",
    },
)
