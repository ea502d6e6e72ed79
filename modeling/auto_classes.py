"""Which classes of the remote code the Auto classes of transformers open."""

from transformers import PreTrainedConfig

AUTO_MAP = {
    "AutoConfig": "configuration_codesage.CodeSageConfig",
    "AutoModel": "modeling_codesage.CodeSageModel",
    "AutoModelForMaskedLM": "modeling_codesage.CodeSageForMaskedLM",
    "AutoModelForSequenceClassification": "modeling_codesage.CodeSageForSequenceClassification",
}


def name_classes(config: PreTrainedConfig) -> None:
    """Write into a model's config which classes of its remote code open it, if it is one of ours."""
    if config.model_type == "codesage":
        config.auto_map = dict(AUTO_MAP)
