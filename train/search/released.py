"""Where the released model is."""

from importlib import resources
from pathlib import Path

RELEASED = "open-codesage-nano"


def released_model() -> str:
    """The folder of the released model, which comes with a clone and with the installed package.

    Raises:
        ValueError: it is not there.
    """
    cards = Path(str(resources.files("open_codesage.model_cards").joinpath("template.md"))).parent
    if not (cards / RELEASED / "config.json").is_file():
        raise ValueError(
            f"the released model {RELEASED} is not in {cards}: give another by --model FOLDER_OR_HUB_ID, such as one "
            "that `open-codesage quickstart` has made, or install from a clone that holds it"
        )
    return str(cards / RELEASED)
