"""Configuration of the CodeSage encoder, with the sizes of the paper as presets.

Contract: the keys are those of the published checkpoints' `config.json`, so such a file loads unchanged; keys that are
not known here are kept as they are. A value that no model can be built from is refused, by name, before any weight
exists.
"""

from typing import Any

from transformers import PreTrainedConfig

PRESETS: dict[str, dict[str, Any]] = {
    "nano": {
        "vocab_size": 32768,
        "max_position_embeddings": 1024,
        "hidden_size": 384,
        "num_hidden_layers": 10,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "pad_token_id": 2,
    },
    "small": {"hidden_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 4096},
    "base": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 8, "intermediate_size": 4096},
    "large": {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 8192},
}
"""Sizes by name: small, base and large are those of the paper (arXiv 2402.01935, Table 5); nano (30.7M) suits a CPU."""

_LARGEST = {
    "vocab_size": 1 << 24,
    "max_position_embeddings": 1 << 24,
    "hidden_size": 1 << 16,
    "num_hidden_layers": 1 << 10,
    "num_attention_heads": 1 << 10,
    "intermediate_size": 1 << 18,
    "num_labels": 1 << 20,
}
"""Sizes beyond these are mistakes or attacks: a model of the largest would not fit any machine."""
_PROBABILITIES = ("residual_dropout_prob", "embedding_dropout_prob", "attention_dropout_prob", "classifier_dropout")


class CodeSageConfig(PreTrainedConfig):
    """Sizes and options of a CodeSage encoder; the defaults are the paper's small model and its training values.

    Attributes:
        vocab_size: Rows of the token embedding.
        max_position_embeddings: Rows of the table of learned positions, the longest document in tokens.
        hidden_size: Width of the encoder and of its embeddings; a multiple of `num_attention_heads`.
        num_hidden_layers: Transformer blocks; without any the encoder is a bag of tokens.
        num_attention_heads: Heads of each attention.
        intermediate_size: Width of the feed-forward layers.
        activation_function: Activation of the feed-forward layers, by its name in transformers.
        residual_dropout_prob: Dropout after each attention and feed-forward output.
        embedding_dropout_prob: Dropout after the sum of token and position embedding.
        attention_dropout_prob: Dropout of the attention weights.
        classifier_dropout: Dropout before the classification head; None takes `residual_dropout_prob`.
        layer_norm_epsilon: Epsilon of every layer norm.
        final_layer_norm: Whether a layer norm follows the last block, as in the published models. Without it tokens
            differ in length and so in their weight in the mean, which a bag of tokens needs to weigh them at all.
        initializer_range: Standard deviation of new weights.
        token_initializer_range: Standard deviation of new token embeddings; None takes `initializer_range`. With wide
            token embeddings and narrow other weights a new encoder starts as a bag of tokens, which a small budget of
            training improves; with equal ones the blocks drown the tokens at first.
        position_embedding_type: Always "absolute"; a key of the published files.
        bos_token_id: Id of the token that begins a text (unused: nothing is prepended).
        eos_token_id: Id of the token that ends every text.
        pad_token_id: Id that fills up rows; the attention mask, not this id, says what is padding.
        tie_word_embeddings: Whether the prediction head shares the token embedding's weights.

    Raises:
        ValueError: If a size, a dropout or the position embedding type can not be built.
    """

    model_type = "codesage"

    vocab_size: int = 49154
    max_position_embeddings: int = 2048
    hidden_size: int = 1024
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    intermediate_size: int = 4096
    activation_function: str = "gelu_new"
    residual_dropout_prob: float = 0.1
    embedding_dropout_prob: float = 0.1
    attention_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    layer_norm_epsilon: float = 1e-5
    final_layer_norm: bool = True
    initializer_range: float = 0.02
    token_initializer_range: float | None = None
    position_embedding_type: str = "absolute"
    bos_token_id: int | None = 0
    eos_token_id: int | None = 0
    pad_token_id: int | None = 49153
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        for name, largest in _LARGEST.items():
            # Labels are counted by the base class, which makes a name for each of them.
            value = kwargs.get(name, 1) if name == "num_labels" else getattr(self, name)
            # Without blocks it is a bag of tokens, from which a deeper model can be grown.
            least = 0 if name == "num_hidden_layers" else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= largest:
                raise ValueError(
                    f"{name} must be a whole number of at least {least} and at most {largest}, got {value!r}"
                )
        width, heads = self.hidden_size, self.num_attention_heads
        if width % heads:
            raise ValueError(f"hidden_size ({width}) must be a multiple of num_attention_heads ({heads})")
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if name == "classifier_dropout" and value is None:
                continue
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
        if self.position_embedding_type != "absolute":
            raise ValueError(f'position_embedding_type must be "absolute", got {self.position_embedding_type!r}')
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "CodeSageConfig":
        """Return the configuration of a named size.

        Args:
            name: "nano", "small", "base" or "large".
            **overrides: Attributes that shall differ, for example `vocab_size` and `pad_token_id` of your tokenizer.

        Raises:
            ValueError: If there is no preset of this name, or an override can not be built.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset named {name!r}; the presets are {', '.join(PRESETS)}")
        return cls(**(PRESETS[name] | overrides))


__all__ = ["PRESETS", "CodeSageConfig"]
