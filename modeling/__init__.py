"""The CodeSage encoder: configuration, models and their registration with the Auto classes of transformers.

Importing this package makes `AutoConfig`, `AutoModel`, `AutoModelForMaskedLM` and `AutoModelForSequenceClassification`
know the model type "codesage", and the first two "codesage-static", so that no remote code needs to be trusted where
the package is installed. Whatever is saved carries the source files along and opens, with `trust_remote_code=True`,
where it is not.
"""

from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from .configuration_codesage import CodeSageConfig
from .modeling_codesage import (
    CodeSageForMaskedLM,
    CodeSageForSequenceClassification,
    CodeSageModel,
    CodeSagePreTrainedModel,
)
from .static_codesage import StaticCodeSageConfig, StaticCodeSageModel

AutoConfig.register(CodeSageConfig.model_type, CodeSageConfig, exist_ok=True)
CodeSageConfig.register_for_auto_class()
for _auto, _model in (
    (AutoModel, CodeSageModel),
    (AutoModelForMaskedLM, CodeSageForMaskedLM),
    (AutoModelForSequenceClassification, CodeSageForSequenceClassification),
):
    _auto.register(CodeSageConfig, _model, exist_ok=True)
    _model.register_for_auto_class(_auto.__name__)
AutoConfig.register(StaticCodeSageConfig.model_type, StaticCodeSageConfig, exist_ok=True)
StaticCodeSageConfig.register_for_auto_class()
AutoModel.register(StaticCodeSageConfig, StaticCodeSageModel, exist_ok=True)
StaticCodeSageModel.register_for_auto_class("AutoModel")

__all__ = [
    "CodeSageConfig",
    "CodeSageForMaskedLM",
    "CodeSageForSequenceClassification",
    "CodeSageModel",
    "CodeSagePreTrainedModel",
    "StaticCodeSageConfig",
    "StaticCodeSageModel",
]
