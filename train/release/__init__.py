"""Release: the Hub folder of a trained encoder, its check and its model card."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .check import check_folder as check_folder
    from .config import ConvertConfig as ConvertConfig
    from .config import ExportConfig as ExportConfig
    from .config import PublishConfig as PublishConfig
    from .config import SafetensorsConfig as SafetensorsConfig

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "check": "check_folder",
        "config": "ConvertConfig ExportConfig PublishConfig SafetensorsConfig",
    },
)
