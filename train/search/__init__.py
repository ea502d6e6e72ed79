"""Search in trees of source code: an index of their units, ranked by an encoder, BM25 and what names say."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .configs import SearchConfig as SearchConfig
    from .filters import Filters as Filters
    from .index import Hit as Hit
    from .index import Index as Index
    from .index import Update as Update

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "configs": "SearchConfig",
        "filters": "Filters",
        "index": "Hit Index Update",
    },
)
