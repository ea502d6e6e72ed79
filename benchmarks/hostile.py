"""Damaged source files by the thousand: none may hang, crash or be lost without a reason.

    python benchmarks/hostile.py [--count 50000] [--source FOLDER ...] [--seed 0]

Real files of every language (the test fixtures, and those of `--source`) are damaged by chance: cut, spliced with other
files, filled with brackets, quotes, NUL bytes, broken UTF-8, very long lines. Each goes the way of a file in `extract`
and in the preparation of rows: decoded, identifiers, functions, filters. What comes back is checked (spans in order,
inside the text, spelling the name; lines inside the file) and counted by language and reason. The program fails when a
file is lost with its process, raises anything but the error with a reason, or breaks a check.
"""

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from open_codesage.tokenization.filters import rejection_reason
from open_codesage.tokenization.functions import extract_functions
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.languages import LANGUAGES, language_of_path
from open_codesage.tokenization.source import Unparsable, decode
from open_codesage.train.common.workers import map_in_workers

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "languages"
LARGEST = 12_000
"""Bytes of a file that is damaged: longer ones cost time and meet no other code."""
TOKENS = (b"{", b"}", b"(", b")", b"[", b"<", b'"', b"'", b"`", b"/*", b"*/", b"//", b"#", b"\\", b"<?php", b"=begin\n")
TOKENS += (b'"""', b"<<A", b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\t", b"\xe2\x80\xa8")
TOKENS += (
    "名".encode(),
    "😀".encode(),
    b"@",
    b"$",
    b"def ",
    b"class ",
    b"function ",
    b"return ",
    b"#if 0\n",
    b"template<",
)


class Damaged(NamedTuple):
    """A file to try: its language and its bytes."""

    language: str
    data: bytes


def damage(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damage a file in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        to = min(len(data), at + chance.randint(0, 400))
        token = chance.choice(TOKENS)
        match chance.randrange(8):
            case 0:  # a piece is gone
                data = data[:at] + data[to:]
            case 1:  # the end is gone
                data = data[:at]
            case 2:  # a piece again, and again
                data = data[:at] + data[at:to] * chance.choice((2, 3, 50)) + data[to:]
            case 3:  # a piece of another file, maybe of another language
                other = chance.choice(others)
                begin = chance.randint(0, len(other))
                data = data[:at] + other[begin : begin + chance.randint(1, 400)] + data[at:]
            case 4:
                data = data[:at] + token + data[to:]
            case 5:
                data = data[:at] + token * chance.choice((10, 1_000, 20_000)) + data[at:]
            case 6:  # no line ends
                data = data[:at] + data[at:].replace(b"\n", b" ")
            case _:  # any bytes
                data = data[:at] + chance.randbytes(chance.randint(1, 50)) + data[at:]
    return data


def make(seeds: dict[str, list[bytes]], count: int, seed: int) -> Iterator[Damaged]:
    """Yield damaged files, language by language in turn; each depends on the seed and its number only."""
    everything = [data for files in seeds.values() for data in files]
    languages = sorted(seeds)
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        language = languages[number % len(languages)]
        yield Damaged(language, damage(chance, chance.choice(seeds[language]), everything))


def attempt(file: Damaged) -> str:
    """Do what the package does with a file; returns what became of it, "fault: …" if that is not as promised."""
    try:
        text = decode(file.data)
        functions = extract_functions(text, file.language)
        lines = text.count("\n") + text.count("\r") - text.count("\r\n") + 1
        for function in functions:
            rejection_reason(function, file.language)
            if not 1 <= function.start_line <= function.end_line <= lines:
                return f"fault: function {function.name} at lines {function.start_line} to {function.end_line}"
        end = 0
        for identifier in find_identifiers(text, file.language):
            if identifier.start < end or text[identifier.start : identifier.end] != identifier.name:
                return f"fault: identifier {identifier}"
            end = identifier.end
    except Unparsable as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 (any other error is what is looked for)
        return f"fault: {type(error).__name__}: {error}"
    return "used"


def read_seeds(folders: list[Path], most: int) -> dict[str, list[bytes]]:
    """Return real files by language."""
    seeds: dict[str, list[bytes]] = {language: [] for language in LANGUAGES}
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        random.Random(0).shuffle(paths)
        for path in paths:
            language = language_of_path(path.name) if path.name != "identifiers.txt" else None
            if language and len(seeds[language]) < most and path.stat().st_size <= LARGEST:
                seeds[language].append(path.read_bytes())
    return {language: files for language, files in seeds.items() if files}


def lost(file: Damaged, reason: str) -> str:
    """Name what became of a file that its process did not survive."""
    return f"fault: {reason}"


def main() -> int:
    """Try them all and print a table; returns 1 if there was a fault."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=50_000, help="how many damaged files (default: 50000)")
    arguments.add_argument("--source", type=Path, nargs="*", default=[], help="folders of real source files")
    arguments.add_argument("--seeds", type=int, default=200, help="at most so many files of a language (default: 200)")
    arguments.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    arguments.add_argument("--seed", type=int, default=0, help="draws the damage (default: 0)")
    options = arguments.parse_args()
    seeds = read_seeds([FIXTURES, *options.source], options.seeds)
    counts: dict[str, Counter[str]] = {language: Counter() for language in sorted(seeds)}
    begin = time.perf_counter()
    given = make(seeds, options.count, options.seed)
    batches = iter(lambda: list(islice(given, 32)), [])
    files = make(seeds, options.count, options.seed)
    for file, result in zip(files, map_in_workers(attempt, batches, options.workers, 600.0, lost), strict=True):
        counts[file.language][result.partition(":")[0]] += 1
        if result.startswith("fault"):
            print(f"{file.language}: {result}: {file.data[:200]!r}", file=sys.stderr)
    reasons = sorted({reason for counted in counts.values() for reason in counted})
    print(f"{options.count:,} damaged files of {sum(map(len, seeds.values())):,} real ones", end="")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f", {time.perf_counter() - begin:.0f} s, the largest process took {peak:.0f} MB")
    print(f"| language | {' | '.join(reasons)} |\n|---|{'---:|' * len(reasons)}")
    for language, counted in counts.items():
        print(f"| {language} | {' | '.join(str(counted[reason]) for reason in reasons)} |")
    return int(any(counted["fault"] for counted in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
