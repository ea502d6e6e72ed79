"""Which classes of the remote code the Auto classes of transformers open."""

from transformers import PreTrainedConfig

AUTO_MAP = {
    "AutoConfig": "configuration_codesage.CodeSageConfig",
    "AutoModel": "modeling_codesage.CodeSageModel",
    "AutoModelForMaskedLM": "modeling_codesage.CodeSageForMaskedLM",
    "AutoModelForSequenceClassification": "modeling_codesage.CodeSageForSequenceClassification",
}

STATIC_AUTO_MAP = {
    "AutoConfig": "static_codesage.StaticCodeSageConfig",
    "AutoModel": "static_codesage.StaticCodeSageModel",
}


def name_classes(config: PreTrainedConfig) -> None:
    """Write into a model's config which classes of its remote code open it, if it is one of ours."""
    maps = {"codesage": AUTO_MAP, "codesage-static": STATIC_AUTO_MAP}
    if config.model_type in maps:
        config.auto_map = dict(maps[config.model_type])
