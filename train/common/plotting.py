"""What all plots begin and end with: matplotlib, which is optional and draws without a screen, and a file."""

from pathlib import Path
from typing import Any


def pyplot() -> Any:
    """Import `matplotlib.pyplot`, drawing to files only.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ValueError('plots need matplotlib: pip install "open-codesage[corpus]"') from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    return plt


def save(figure: Any, path: Path, dpi: int = 100) -> Path:
    """Write a figure, and free its memory."""
    figure.savefig(path, dpi=dpi)
    pyplot().close(figure)
    return path
