"""From source files to the corpus folder: text of files, pairs of summary and function, splits."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .corpus import Corpus as Corpus
    from .extract import ExtractConfig as ExtractConfig
    from .sample import SampleConfig as SampleConfig

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "corpus": "Corpus",
        "extract": "ExtractConfig",
        "sample": "SampleConfig",
    },
)
