"""What the Hub and its readers need of a model card's metadata."""

from pathlib import Path

from ..common.untrusted import read_metadata


def card_problems(folder: Path, wanted: tuple[str, ...] = ("license",)) -> list[str]:
    """Look for a card whose metadata cannot be read, or lack what they must name.

    Args:
        folder: a Hub folder with a README.md.
        wanted: keys that must be there.

    Returns:
        One sentence per problem.
    """
    from huggingface_hub import ModelCardData

    where = folder / "README.md"
    try:
        metadata = read_metadata(where)
    except ValueError as error:
        return [str(error)]
    try:
        card = ModelCardData(**metadata)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return [f"{where}: the metadata of the card cannot be read: {error}"]
    return [f"{where}: the metadata of the card names no {key}" for key in wanted if not card.get(key)]
