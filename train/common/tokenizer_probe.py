"""Open a `tokenizer.json` that may be hostile: run as a script of its own, in a process that may die of it.

Contract: `python tokenizer_probe.py < tokenizer.json` prints the largest token id of a few encodings, and so does
`python tokenizer_probe.py FOLDER` for a folder without one, of whose vocabulary files transformers makes a tokenizer.
Whatever else happens (an exception, a panic, an abort, 2 GiB of memory used up) ends the process with a status other
than 0 and the reason on standard error.

Invariant: of a `tokenizer.json` it imports nothing but the standard library and tokenizers, so that it starts in some
hundredths of a second.
"""

import os
import sys
from collections.abc import Callable

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RUST_BACKTRACE"] = "0"

from tokenizers import Tokenizer

MEMORY = 2 << 30
PROBES = ("", "x", 'def f(a):\r\n    return "é🙂變數"  # 1234 <|endoftext|>\n')


def main() -> None:
    """Open the tokenizer, encode the probes, and write the largest id."""
    encode = _of_folder(sys.argv[1]) if len(sys.argv) > 1 else _of_file(sys.stdin.buffer.read())
    sys.stdout.write(str(max((id for probe in PROBES for id in encode(probe)), default=0)))


def _of_file(content: bytes) -> Callable[[str], list[int]]:
    _limit("RLIMIT_AS")
    tokenizer = Tokenizer.from_str(content.decode("utf-8"))
    # transformers sets the length of its outputs anew in each call, but it never undoes what breaks while it opens.
    if tokenizer.truncation is not None:
        tokenizer.enable_truncation(**tokenizer.truncation)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: list(tokenizer.encode(text).ids)


def _of_folder(folder: str) -> Callable[[str], list[int]]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    _limit("RLIMIT_DATA")  # The libraries reserve more address space than they use.
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return lambda text: list(tokenizer(text)["input_ids"])


def _limit(kind: str) -> None:
    try:
        import resource
    except ImportError:  # Windows, where a process cannot limit its own memory
        return
    number = getattr(resource, kind)
    hard = resource.getrlimit(number)[1]
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(number, (limit, limit))


if __name__ == "__main__":
    main()
