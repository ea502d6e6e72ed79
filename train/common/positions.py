"""How many tokens an encoder has positions for, by architecture."""

from typing import Any

# Their position ids begin behind that of padding.
_BEHIND_PADDING = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "xmod",
    "data2vec-text",
}


def longest_document(config: Any) -> int | None:
    """The most tokens, special ones included, that an encoder takes.

    Args:
        config: an encoder's config.

    Returns:
        The number, of which RoBERTa has two fewer than positions; None if the config does not tell.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    if config.model_type in _BEHIND_PADDING:
        return positions - (config.pad_token_id or 0) - 1
    return positions
