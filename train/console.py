"""The one way in which commands speak to a person: whole lines on standard output that do not break progress bars."""

from tqdm import tqdm


def say(message: str) -> None:
    """Write one line to standard output, above any progress bar that is running."""
    tqdm.write(message)
