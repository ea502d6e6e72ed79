"""What a Hub folder consists of: files and modules, and those of classifiers, native encoders and static models."""

from pathlib import Path

from ..common.static_model import is_static
from ..common.untrusted import read_object

ARCHITECTURE = "CodeSageForSequenceClassification"


NOT_IN_IT = {
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Normalize/config.json",
}
"""Files of an encoder's Hub folder that a classifier has no use for."""


def is_classifier(folder: Path) -> bool:
    """Say whether a model folder is one of a classifier."""
    try:
        return read_object(folder / "config.json").get("architectures") == [ARCHITECTURE]
    except ValueError:
        return False


def is_native(folder: Path) -> bool:
    """Say whether a model folder is one of an encoder whose code is part of transformers."""
    try:
        config = read_object(folder / "config.json")
    except ValueError:
        return False
    return config.get("model_type") not in (None, "codesage") and not is_classifier(folder) and not is_static(folder)


FILES = {
    "README.md": "the model card",
    "config.json": "sizes, number format and auto_map",
    "attention_codesage.py": "remote code: attention by document",
    "configuration_codesage.py": "remote code: the configuration",
    "modeling_codesage.py": "remote code: the models",
    "model.safetensors": "the encoder's weights; the head of the masked LM is tied to its embeddings",
    "tokenizer.json": "the tokenizer, which appends EOS",
    "tokenizer_config.json": "special tokens and the longest input",
    "modules.json": "sentence-transformers: encoder, mean pooling, normalisation",
    "sentence_bert_config.json": "sentence-transformers: how the encoder is called",
    "config_sentence_transformers.json": "sentence-transformers: prompts and similarity",
    "1_Pooling/config.json": "sentence-transformers: mean pooling",
    "2_Normalize/config.json": "sentence-transformers: normalisation",
}


TOLERANCE = 1e-6


MODULES = ["Transformer", "Pooling", "Normalize"]
"""The modules of sentence-transformers in a Hub folder, in their order."""


PROBES = ("return the larger of two numbers", "def larger(a, b):\n    return a if a > b else b\n", "")


NORMALIZE = "2_Normalize/config.json"

NATIVE_FILES = {
    "README.md": "the model card",
    "config.json": "architecture, sizes and number format",
    "model.safetensors": "the encoder's weights",
    "tokenizer.json": "the tokenizer",
    "tokenizer_config.json": "special tokens and the longest input",
    "modules.json": "sentence-transformers: encoder, pooling and, if embeddings are normalised, normalisation",
    "sentence_bert_config.json": "sentence-transformers: the longest input",
    "config_sentence_transformers.json": "sentence-transformers: prompts and similarity",
    "1_Pooling/config.json": "sentence-transformers: pooling",
}
"""The files of a native encoder: no code is among them. `NORMALIZE` is one more where embeddings are normalized."""

STATIC_FILES = {
    "README.md": "the model card",
    "config.json": "sizes and auto_map; tells model2vec to normalize",
    "static_codesage.py": "remote code: the table for AutoModel",
    "model.safetensors": "the table",
    "tokenizer.json": "the tokenizer, which cuts long texts",
    "tokenizer_config.json": "transformers: padding and the longest input",
    "modules.json": "sentence-transformers: table and normalization",
}
"""The files of a static model."""
