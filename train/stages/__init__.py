"""The trainings: tokenizer, Stage I, Stage II, fine-tuning, and the consistency filter between them."""

from typing import TYPE_CHECKING

from ..common.lazy import lazy_names

if TYPE_CHECKING:
    from .configs import ConsistencyConfig as ConsistencyConfig
    from .configs import ContrastConfig as ContrastConfig
    from .configs import FinetuneConfig as FinetuneConfig
    from .configs import PretrainConfig as PretrainConfig
    from .configs import TokenizerConfig as TokenizerConfig
    from .data.batches import PairBatchSampler as PairBatchSampler
    from .data.batches import PairCollator as PairCollator
    from .data.masking import IdentifierMaskingCollator as IdentifierMaskingCollator
    from .data.packing import prepare_shards as prepare_shards
    from .data.stream import EpochStream as EpochStream
    from .data.text_masking import DataCollatorForIdentifierMasking as DataCollatorForIdentifierMasking
    from .data.text_masking import MaskingEpochCallback as MaskingEpochCallback
    from .losses import HardNegativeContrastiveLoss as HardNegativeContrastiveLoss
    from .losses import collapse_value as collapse_value

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "configs": "ConsistencyConfig ContrastConfig FinetuneConfig PretrainConfig TokenizerConfig",
        "data.batches": "PairBatchSampler PairCollator",
        "data.masking": "IdentifierMaskingCollator",
        "data.packing": "prepare_shards",
        "data.stream": "EpochStream",
        "data.text_masking": "DataCollatorForIdentifierMasking MaskingEpochCallback",
        "losses": "HardNegativeContrastiveLoss collapse_value",
    },
)
