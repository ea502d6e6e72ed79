"""Source text to identifiers, functions and tokens. No torch; a grammar is loaded by the first text of its language."""

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
