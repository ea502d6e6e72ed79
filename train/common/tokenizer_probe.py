"""Open a `tokenizer.json` that may be hostile: run as a script of its own, in a process that may die of it.

Contract: `python tokenizer_probe.py < tokenizer.json` prints the largest token id of a few encodings. Whatever else
happens (an exception, a panic, an abort, 2 GiB of memory used up) ends the process with a status other than 0 and the
reason on standard error.

Invariant: imports nothing but the standard library and tokenizers, so that it starts in some hundredths of a second.
"""

import os
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RUST_BACKTRACE"] = "0"

from tokenizers import Tokenizer

MEMORY = 2 << 30
PROBES = ("", "x", 'def f(a):\r\n    return "é🙂變數"  # 1234 <|endoftext|>\n')


def main() -> None:
    """Read the tokenizer from standard input, encode the probes, and write the largest id."""
    try:
        import resource
    except ImportError:  # Windows, where a process can not limit its own memory
        pass
    else:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    tokenizer = Tokenizer.from_str(sys.stdin.buffer.read().decode("utf-8"))
    # transformers sets the length of its outputs anew in each call, but it never undoes what breaks while it opens.
    if tokenizer.truncation is not None:
        tokenizer.enable_truncation(**tokenizer.truncation)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sys.stdout.write(str(max((id for probe in PROBES for id in tokenizer.encode(probe).ids), default=0)))


if __name__ == "__main__":
    main()
