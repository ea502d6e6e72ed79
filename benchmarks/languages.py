"""What a language's extraction finds in folders of source code: counts by reason, speed, and samples to read.

    python benchmarks/languages.py go FOLDER... --pairs 50 --spans 10

It prints a row of the table in docs/languages.md and the counts by reason; then, drawn by seed, pairs with their hard
positives, functions that were rejected, and files with every identifier marked as ‹name|kind›. Files are chosen, read
and judged as `open-codesage extract` does; the clock is the processor time of this one process.
"""

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from open_codesage.tokenization import (
    Function,
    Identifier,
    Unparsable,
    extract_functions,
    find_identifiers,
    parse,
    rejection_reason,
    resolve_language,
)
from open_codesage.tokenization.functions import survey
from open_codesage.train.corpus.sources import Counts, SkippedFile, collect_folders, read

MAX_BYTES = 250_000


@dataclass
class Counted:
    """What was found; `functions` holds the documented ones with their file and the reason of their rejection."""

    files: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    all_functions: int = 0
    functions: list[tuple[str, Function, str | None]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unparsable: Counter[str] = field(default_factory=Counter)
    without_identifiers: Counter[str] = field(default_factory=Counter)
    function_seconds: float = 0.0
    identifier_seconds: float = 0.0


def count(language: str, folders: list[str]) -> Counted:
    """Read every file of the language in the folders."""
    counted = Counted()
    skipped: Counts = Counter()
    files, _ = collect_folders(folders, (language,), None, MAX_BYTES, skipped)
    seen = set()
    for file in files:
        try:
            text = read(file, MAX_BYTES)
        except SkippedFile as error:
            counted.skipped[error.reason] += 1
            continue
        if (words := hash("".join(text.split()))) in seen:
            counted.skipped["duplicate"] += 1
            continue
        seen.add(words)
        examine(file.path, text, language, counted)
    for (of, reason), number in skipped.items():
        counted.skipped[reason] += number if of == language else 0
    return counted


def examine(path: str, text: str, language: str, counted: Counted) -> None:
    """Count what is in one file."""
    counted.files[path] = text
    counted.bytes += len(text.encode())
    start = time.process_time()
    try:
        functions = extract_functions(text, language)
    except Unparsable as error:
        counted.unparsable[error.reason] += 1
        return
    reasons = [rejection_reason(function, language) for function in functions]
    middle = time.process_time()
    try:
        find_identifiers(text, language)
    except Unparsable as error:
        counted.without_identifiers[error.reason] += 1
    counted.identifier_seconds += time.process_time() - middle
    counted.function_seconds += middle - start
    counted.functions += zip([path] * len(functions), functions, reasons, strict=True)
    counted.all_functions += survey(parse(text, language)).total


def mark(text: str, identifiers: list[Identifier]) -> str:
    """The text with its identifiers marked."""
    parts: list[str] = []
    end = 0
    for identifier in identifiers:
        parts += text[end : identifier.start], f"‹{identifier.name}|{identifier.kind}›"
        end = identifier.end
    return "".join(parts) + text[end:]


def show(title: str, chosen: list[tuple[str, Function, str | None]]) -> None:
    """Print functions to read."""
    for path, function, reason in chosen:
        print(f"\n=== {title} {path}:{function.start_line} {function.name} {reason or ''}\n{function.summary}")
        print(f"--- code\n{function.code}\n--- hard positive\n{function.hard_positive}")


def main() -> None:
    """Read the arguments, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", type=resolve_language)
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--pairs", type=int, default=0, help="pairs to print")
    parser.add_argument("--rejected", type=int, default=0, help="rejected functions to print")
    parser.add_argument("--spans", type=int, default=0, help="files to print with their identifiers")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counted = count(arguments.language, arguments.folder)
    pairs = [row for row in counted.functions if row[2] is None]
    rejected = Counter(reason for _, _, reason in counted.functions if reason)
    megabytes = counted.bytes / 1e6
    print(
        f"| {arguments.language} | {len(counted.files):,} | {megabytes:.1f} | {counted.all_functions:,} "
        f"| {len(counted.functions):,} | {len(pairs):,} | {counted.unparsable.total()} "
        f"| {counted.without_identifiers.total()} | {megabytes / counted.function_seconds:.1f} "
        f"| {megabytes / counted.identifier_seconds:.1f} |"
    )
    for name, reasons in (("rejected", rejected), ("skipped files", counted.skipped)):
        print(f"{name}: {', '.join(f'{reason} {number:,}' for reason, number in reasons.most_common())}")
    for name, reasons in (("no tree", counted.unparsable), ("no identifiers", counted.without_identifiers)):
        print(f"files with {name}: {dict(reasons)}")
    generator = random.Random(arguments.seed)
    show("pair", generator.sample(pairs, min(arguments.pairs, len(pairs))))
    others = [row for row in counted.functions if row[2]]
    show("rejected", generator.sample(others, min(arguments.rejected, len(others))))
    for path in generator.sample(list(counted.files), min(arguments.spans, len(counted.files))):
        try:
            marked = mark(counted.files[path], find_identifiers(counted.files[path], arguments.language))
        except Unparsable as error:
            marked = str(error)
        print(f"\n=== {path}\n{marked}")


if __name__ == "__main__":
    main()
