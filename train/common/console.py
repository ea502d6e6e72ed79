"""The one way in which commands speak to a person: whole lines that do not break progress bars."""

import sys

from tqdm import tqdm


def say(message: str) -> None:
    """Write one line to standard output, above any progress bar that is running."""
    tqdm.write(message)


def note(message: str) -> None:
    """Write one line that is no result to standard error, where a program that reads the results does not meet it."""
    tqdm.write(message, file=sys.stderr)
