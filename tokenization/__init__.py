"""Source text to identifiers, functions and tokens. No torch; a grammar is loaded by the first text of its language.

The public names are opened when they are first asked for: who needs the table of languages only does not wait for all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .filters import REJECTIONS, rejection_reason
    from .functions import Function, extract_functions
    from .identifiers import Identifier, Kind, find_identifiers
    from .languages import LANGUAGES, Language, language_of_path, resolve_language
    from .source import REASONS, Limits, Unparsable, decode, parse

__all__ = [
    "LANGUAGES",
    "REASONS",
    "REJECTIONS",
    "Function",
    "Identifier",
    "Kind",
    "Language",
    "Limits",
    "Unparsable",
    "decode",
    "extract_functions",
    "find_identifiers",
    "language_of_path",
    "parse",
    "rejection_reason",
    "resolve_language",
]

_PLACES = {
    "filters": ("REJECTIONS", "rejection_reason"),
    "functions": ("Function", "extract_functions"),
    "identifiers": ("Identifier", "Kind", "find_identifiers"),
    "languages": ("LANGUAGES", "Language", "language_of_path", "resolve_language"),
    "source": ("REASONS", "Limits", "Unparsable", "decode", "parse"),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
