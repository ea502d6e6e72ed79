"""How fast the encoder embeds functions on this machine, against a plain padded computation with the same weights.

Three things are measured in one run, batch by batch in turn, so that a load that comes and goes falls on all of them:

* ours: the model as users get it (`sdpa`: padding dropped before the first layer, attention by document);
* plain: the same weights, rows padded to the longest of their batch, attention in plain matrix products (`eager`);
* products: the bare matrix products of the projections over the tokens that count, a bound that nothing exact passes.

With --onnx also onnx and onnx-int8: the weights in onnxruntime, as `export --onnx --int8` writes them; rows padded.

Each runs twice: over the functions in random order, and sorted by length. The texts are functions of the running
Python's standard library, drawn by seed. A fixed rule counts their tokens (words in pieces of six letters, digits and
signs one by one), about as many as a trained byte-level BPE finds; the ids are random, since their values do not change
the work. With one thread the clock is the processor time of this process, else the wall clock.

    python benchmarks/encode.py --preset small --functions 96 --threads 1

The program fails when ours is less than 2.5 times as fast as plain (1.4 times when sorted), or its embeddings differ.
"""

import argparse
import ast
import random
import re
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.modeling.configuration_codesage import PRESETS

PIECE = re.compile(r"[A-Za-z]{1,6}|\s+|.")
LEAST = {"unsorted": 2.5, "sorted": 1.4}
ORDERS: dict[str, Callable[[list[int]], list[int]]] = {"unsorted": list, "sorted": sorted}


def functions(root: Path) -> Iterator[str]:
    """Yield the source text of every function under `root`, tests and installed packages left out."""
    for path in sorted(root.rglob("*.py")):
        if {"test", "tests", "site-packages"} & set(path.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        lines = text.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])


def draw_lengths(count: int, longest: int, seed: int) -> list[int]:
    """Return the lengths in tokens, EOS included, of functions drawn from the standard library."""
    texts = list(functions(Path(sysconfig.get_paths()["stdlib"])))
    drawn = random.Random(seed).sample(texts, count)
    return [min(len(PIECE.findall(text)) + 1, longest) for text in drawn]


def make_batch(lengths: list[int], vocab_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random input_ids and their attention_mask, both [B, T], right-padded to the longest of the lengths."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(vocab_size, mask.shape), mask.long()


def make_products(config: CodeSageConfig, tokens: int) -> Callable[[], None]:
    """Return the matrix products of all projections over a number of tokens, ready to run."""
    hidden, wide = config.hidden_size, config.intermediate_size
    operands = [
        (torch.randn(tokens, rows), torch.randn(rows, columns), torch.empty(tokens, columns))
        for rows, columns in ((hidden, 3 * hidden), (hidden, hidden), (hidden, wide), (wide, hidden))
    ]

    def run() -> None:
        for _ in range(config.num_hidden_layers):
            for left, right, out in operands:
                torch.mm(left, right, out=out)

    return run


def open_onnx(model: CodeSageModel, threads: int) -> dict[str, Callable[..., torch.Tensor]]:
    """Return the model in onnxruntime, in float32 and in int8, each a function from a batch to its pooled output."""
    from open_codesage.train.release.onnx_graph import INPUTS, open_graph, quantise_graph, write_graph

    def embedder(session: Any) -> Callable[..., torch.Tensor]:
        def embed(*batch: torch.Tensor) -> torch.Tensor:
            named = {name: values.numpy() for name, values in zip(INPUTS, batch, strict=True)}
            return torch.from_numpy(session.run(["pooler_output"], named)[0])

        return embed

    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("onnx", "onnx-int8")}
        write_graph(model, files["onnx"])
        quantise_graph(files["onnx"], files["onnx-int8"])
        print(", ".join(f"{name}: {file.stat().st_size / 1e6:.1f} MB" for name, file in files.items()), flush=True)
        return {name: embedder(open_graph(file, threads)) for name, file in files.items()}


def main() -> int:
    """Measure and print one table; returns 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="small", help="model size (default: small, 128M)")
    parser.add_argument("--functions", type=int, default=96, help="how many functions to embed (default: 96)")
    parser.add_argument("--batch-size", type=int, default=16, help="functions in a batch (default: 16)")
    parser.add_argument("--max-length", type=int, default=1024, help="longer functions are cut (default: 1024 tokens)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--rounds", type=int, default=2, help="a batch counts with its fastest round (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="draws functions, ids and weights (default: 0)")
    parser.add_argument("--onnx", action="store_true", help='measure onnxruntime too; needs "open-codesage[onnx]"')
    options = parser.parse_args()

    clock = time.process_time if options.threads == 1 else time.perf_counter
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    config = CodeSageConfig.from_preset(options.preset)
    ours = CodeSageModel(config).eval()
    plain = CodeSageModel._from_config(deepcopy(config), attn_implementation="eager").eval()
    plain.load_state_dict(ours.state_dict())
    lengths = draw_lengths(options.functions, options.max_length, options.seed)
    tokens = sum(lengths)
    print(
        f"{options.preset}, {ours.num_parameters():,} parameters; torch {torch.__version__}, threads: {options.threads}"
    )
    print(
        f"{len(lengths)} functions of {tokens / len(lengths):.0f} tokens on average, at most {max(lengths)}, "
        f"in batches of {options.batch_size}",
        flush=True,
    )

    graphs = open_onnx(ours, options.threads) if options.onnx else {}
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    differences = []
    cosines: dict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        ours(*make_batch([64], config.vocab_size))
        for order, arrange in ORDERS.items():
            arranged = arrange(lengths)
            for begin in range(0, len(arranged), options.batch_size):
                batch = make_batch(arranged[begin : begin + options.batch_size], config.vocab_size)
                calls = {
                    "ours": lambda batch=batch: ours(*batch).pooler_output,
                    "plain": lambda batch=batch: plain(*batch).pooler_output,
                    "products": make_products(config, int(batch[1].sum())),
                    **{name: partial(embed, *batch) for name, embed in graphs.items()},
                }
                fastest, pooled = dict.fromkeys(calls, float("inf")), {}
                for _ in range(options.rounds):
                    for what, call in calls.items():
                        started = clock()
                        pooled[what] = call()
                        fastest[what] = min(fastest[what], clock() - started)
                for what, took in fastest.items():
                    seconds[order, what] += took
                differences.append((pooled["ours"] - pooled["plain"]).abs().max().item())
                for name in graphs:
                    cosines[name].append(torch.cosine_similarity(pooled["ours"], pooled[name]).min().item())

    print("tokens/s   " + "".join(f"{name:>10}" for name in ("ours", "plain", "ours/plain", "products", "of those")))
    for order in ORDERS:
        mine, other, bound = (tokens / seconds[order, what] for what in ("ours", "plain", "products"))
        print(f"{order:<11}{mine:10.0f}{other:10.0f}{mine / other:9.2f}x{bound:10.0f}{mine / bound:10.0%}")
    print(f"largest difference between the embeddings: {max(differences):.1e}")
    for name in graphs:
        speeds = (
            f"{order} {tokens / seconds[order, name]:.0f} tokens/s, "
            f"{seconds[order, 'ours'] / seconds[order, name]:.2f}x ours, "
            for order in ORDERS
        )
        print(f"{name + ':':<11}{''.join(speeds)}lowest cosine with ours {min(cosines[name]):.6f}")
    slow = [order for order in ORDERS if seconds[order, "plain"] < LEAST[order] * seconds[order, "ours"]]
    if slow:
        print(f"less than {LEAST} times as fast: {', '.join(slow)}", file=sys.stderr)
    return int(bool(slow) or max(differences) > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
