"""What the Hub and its readers need of a model card's metadata."""

from pathlib import Path

import yaml


def card_problems(folder: Path, wanted: tuple[str, ...] = ("license",)) -> list[str]:
    """Look for a card whose metadata cannot be read, or lack what they must name.

    Args:
        folder: a Hub folder with a README.md.
        wanted: keys that must be there.

    Returns:
        One sentence per problem.
    """
    from huggingface_hub import ModelCard

    try:
        card = ModelCard.load(folder / "README.md")
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        return [f"{folder / 'README.md'}: the metadata of the card can not be read: {error}"]
    return [
        f"{folder / 'README.md'}: the metadata of the card names no {key}" for key in wanted if not card.data.get(key)
    ]
