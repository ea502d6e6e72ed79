"""A static encoder: one learned vector per token; the mean of a text's vectors is its embedding.

Contract: the weights are the file that model2vec and sentence-transformers' `StaticEmbedding` read, a matrix called
`embeddings`; the config also tells model2vec, by `normalize`, that embeddings have length 1. Configuration and model
stand in one file, since it travels with the weights and they are all its code.

Invariants: a text's embedding depends on nothing else in its batch, and not on the order of its tokens. A text without
tokens has an embedding of zeros.

Shapes: B texts, T tokens of the longest, D dimensions, V tokens of the vocabulary.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel

_LARGEST = {"vocab_size": 1 << 24, "hidden_size": 1 << 16}


class StaticCodeSageConfig(PreTrainedConfig):
    """Sizes of a static encoder.

    Attributes:
        vocab_size: Rows of the table.
        hidden_size: Its width, the dimensions of an embedding.
        normalize: Whether model2vec scales embeddings to length 1; the model itself gives the mean as it is.
        pad_token_id: Id that fills up rows; the attention mask, not this id, says what is padding.

    Raises:
        ValueError: If a size cannot be built.
    """

    model_type = "codesage-static"

    vocab_size: int = 65_536
    hidden_size: int = 384
    normalize: bool = True
    pad_token_id: int | None = 0

    def __post_init__(self, **kwargs: Any) -> None:
        for name, largest in _LARGEST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
                raise ValueError(f"{name} must be a whole number of at least 1 and at most {largest}, got {value!r}")
        super().__post_init__(**kwargs)


class StaticCodeSageModel(PreTrainedModel):
    """The table: token vectors and their mean."""

    config: StaticCodeSageConfig
    config_class = StaticCodeSageConfig
    base_model_prefix = "static"
    # Ones, for the sake of sentence-transformers: see `write_static` of open-codesage.
    _keys_to_ignore_on_load_unexpected: ClassVar = ["^weights$"]

    def __init__(self, config: StaticCodeSageConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.normal_(self.embeddings, std=self.config.hidden_size**-0.5)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Embed texts.

        Args:
            input_ids: Tokens without special ones, int64 [B, T]; T may be 0.
            attention_mask: 1 for a token and 0 for padding, [B, T]; all are tokens if None.
            **kwargs: What tokenizers give besides; not used.

        Returns:
            `last_hidden_state`, the tokens' vectors [B, T, D], zeros for padding; and `pooler_output`, their mean over
            the tokens of each text [B, D], not normalized.
        """
        ids = input_ids.long()  # without any token, tokenizers give an empty tensor of floats
        mask = torch.ones_like(ids) if attention_mask is None else attention_mask
        kept = mask.to(self.embeddings.dtype).unsqueeze(-1)
        states = nn.functional.embedding(ids, self.embeddings) * kept
        count = kept.sum(1, dtype=torch.float32).clamp(min=1)
        pooled = (states.sum(1, dtype=torch.float32) / count).to(states.dtype)
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=pooled)


__all__ = ["StaticCodeSageConfig", "StaticCodeSageModel"]
