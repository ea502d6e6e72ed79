"""Where the released model is."""

from pathlib import Path

RELEASED = "open-codesage-nano"

_CARDS = Path(__file__).parents[2] / "model_cards"
"""Beside this package, in a clone as where it is installed."""


def released_model() -> str:
    """The folder of the released model, which comes with a clone and with the installed package.

    Raises:
        ValueError: it is not there.
    """
    if not (_CARDS / RELEASED / "config.json").is_file():
        raise ValueError(
            f"the released model {RELEASED} is not in {_CARDS}: give another by --model FOLDER_OR_HUB_ID, such as one "
            "that `open-codesage quickstart` has made, or install from a clone that holds it"
        )
    return str(_CARDS / RELEASED)


def is_released(folder: Path) -> bool:
    """Whether a folder is that of the released model as it came with the package."""
    return folder.resolve() == (_CARDS / RELEASED).resolve()
