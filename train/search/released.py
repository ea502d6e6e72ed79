"""Where the released model is."""

from importlib import import_module
from pathlib import Path

RELEASED = "open-codesage-nano"


def released_folders() -> list[Path]:
    """Where the released model would be. An editable installation names places that are no folders as well."""
    return [Path(place) / RELEASED for place in import_module("open_codesage.model_cards").__path__]


def released_model() -> str:
    """The folder of the released model, which comes with a clone and with the installed package.

    Raises:
        ValueError: it is not there.
    """
    folders = released_folders()
    for folder in folders:
        if (folder / "config.json").is_file():
            return str(folder)
    raise ValueError(
        f"the released model {RELEASED} is not in {folders[0].parent}: give another by --model FOLDER_OR_HUB_ID, such as "
        "one that `open-codesage quickstart` has made, or install from a clone that holds it"
    )


def is_released(folder: Path) -> bool:
    """Whether a folder is that of the released model as it came with the package."""
    return any(folder.resolve() == place.resolve() for place in released_folders())
