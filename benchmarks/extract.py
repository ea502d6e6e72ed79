"""The cost of identifiers, pairs and token ids, against the bare parse and the bare tokenization of the same files.

    python benchmarks/extract.py --tokenizer FOLDER --source NAME=FOLDER ... [--megabytes 3] [--rounds 3]

Both sides run in one process, on one thread, in turn over the same files; for each file the fastest round counts.

* bare: tree-sitter parses the bytes, the tokenizer gives the ids of the text; nothing is done with either;
* ours: one parse under the limits, the functions with their documentation and hard positives, the corpus filters, the
  identifiers, and the token ids with the identifier of each token.

"apart" is what the commands cost that work one after the other, `extract` and `pretrain`: they parse the file twice.
The program fails when ours takes more than `--most` times the time of bare in some language.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tree_sitter
from open_codesage.tokenization.filters import rejection_reason
from open_codesage.tokenization.functions import extract_functions, functions_of
from open_codesage.tokenization.identifiers import find_identifiers, identifiers_of
from open_codesage.tokenization.languages import LANGUAGES, resolve_language
from open_codesage.tokenization.source import Unparsable, _load, decode, parse
from open_codesage.tokenization.tokenizer import encode_with_identifiers
from transformers import AutoTokenizer, PreTrainedTokenizerBase


def read_texts(folder: Path, language: str, megabytes: float, seed: int) -> list[str]:
    """Return files of a language, drawn by seed, up to an amount; files that cannot be parsed are left out."""
    suffixes = LANGUAGES[language].extensions
    paths = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    random.Random(seed).shuffle(paths)
    texts, size = [], 0
    for path in paths:
        try:
            text = decode(path.read_bytes())
            if not 200 < len(text) < 200_000:
                continue
            identifiers_of(parse(text, language))
        except (Unparsable, OSError):
            continue
        texts.append(text)
        size += len(text.encode())
        if size > megabytes * 1e6:
            break
    return texts


def contestants(language: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Callable[[str], object]]:
    """Return what is timed, by name."""
    parser = tree_sitter.Parser(_load(LANGUAGES[language].grammars[-1]))

    def bare_parse(text: str) -> object:
        return parser.parse(text.encode())

    def bare_tokens(text: str) -> object:
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def ours(text: str) -> object:
        source = parse(text, language)
        pairs = [function for function in functions_of(source) if not rejection_reason(function, language)]
        return pairs, encode_with_identifiers([text], [identifiers_of(source)], tokenizer)

    def apart(text: str) -> object:
        pairs = [function for function in extract_functions(text, language) if not rejection_reason(function, language)]
        return pairs, encode_with_identifiers([text], [find_identifiers(text, language)], tokenizer)

    return {"parse": bare_parse, "tokens": bare_tokens, "ours": ours, "apart": apart}


def main() -> int:
    """Measure every language and print a table; returns 1 if one is above the limit."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    arguments.add_argument("--source", nargs="+", required=True, help="language=folder of real packages")
    arguments.add_argument("--megabytes", type=float, default=3.0, help="text of each language (default: 3)")
    arguments.add_argument("--rounds", type=int, default=3, help="a file counts with its fastest round (default: 3)")
    arguments.add_argument("--most", type=float, default=1.5, help="highest ratio (default: 1.5)")
    arguments.add_argument("--seed", type=int, default=0, help="draws the files (default: 0)")
    options = arguments.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)

    print("| language | files | MB | parse MB/s | tokens MB/s | ours MB/s | ours / bare | apart / bare |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    slow = []
    for item in options.source:
        name, _, folder = item.partition("=")
        language = resolve_language(name)
        texts = read_texts(Path(folder), language, options.megabytes, options.seed)
        size = sum(len(text.encode()) for text in texts) / 1e6
        calls = contestants(language, tokenizer)
        seconds = dict.fromkeys(calls, 0.0)
        for text in texts:
            fastest = dict.fromkeys(calls, float("inf"))
            for _ in range(options.rounds):
                for what, call in calls.items():
                    started = time.process_time()
                    call(text)
                    fastest[what] = min(fastest[what], time.process_time() - started)
            for what, took in fastest.items():
                seconds[what] += took
        bare = seconds["parse"] + seconds["tokens"]
        speeds = " | ".join(f"{size / seconds[what]:.2f}" for what in ("parse", "tokens", "ours"))
        ratio = seconds["ours"] / bare
        print(
            f"| {language} | {len(texts)} | {size:.1f} | {speeds} | {ratio:.2f} | {seconds['apart'] / bare:.2f} |",
            flush=True,
        )
        if ratio > options.most:
            slow.append(language)
    if slow:
        print(f"more than {options.most} times the bare parse and tokenization: {', '.join(slow)}", file=sys.stderr)
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
