"""What it costs to find that a corpus has been prepared: by reading its text, as before, and by the corpus' own digest.

python benchmarks/start.py --megabytes 300

Writes a corpus of that much text, opens it as `pretrain` does, and times both ways on the same files, in turn. Every
process of a training pays this before its first step.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from open_codesage.train.common.fingerprint import digest
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter
from open_codesage.train.stages.data.packing import _content

WORDS_PER_FILE = 1000


def write(folder: Path, megabytes: float) -> Corpus:
    """Write a corpus of random words, which compress about as code does."""
    random = np.random.default_rng(0)
    words = ["".join(map(chr, row)) for row in random.integers(97, 123, (5000, 8))]
    count = round(megabytes * 1e6 / (9 * WORDS_PER_FILE))
    with PartWriter(folder / "files", FILE_COLUMNS) as files, PartWriter(folder / "functions", FUNCTION_COLUMNS):
        for number in range(count):
            text = " ".join(words[place] for place in random.integers(0, len(words), WORDS_PER_FILE))
            origin = {"language": "python", "path": f"{number}.py", "licence": "MIT", "unit": f"unit {number % 50}"}
            files.write({"text": text, **origin})
    (folder / "held_out.json").write_text('{"units": ["unit 0"]}', encoding="utf-8")
    return Corpus(folder)


def seconds(action: Callable[[], object]) -> float:
    """Time a call."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    """Print the times, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = write(Path(folder) / "corpus", arguments.megabytes)
        files = corpus.files("train")
        parts = sorted((corpus.folder / "files").glob("*.parquet"))
        times = [(seconds(lambda: _content(files)), seconds(lambda: digest(*parts))) for _ in range(arguments.rounds)]
    text, own = (statistics.median(column) for column in zip(*times, strict=True))
    found = f"text read in {text:.2f} s, files digested in {own:.2f} s, {text / own:.1f} to 1"
    print(f"{arguments.megabytes:.0f} MB: {found}")


if __name__ == "__main__":
    main()
