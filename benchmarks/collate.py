"""Tokens per second of our collators against transformers' `DataCollatorForLanguageModeling`.

    python benchmarks/collate.py [--megabytes 4] [--lengths 512 1024] [--batch-size 32] [--rounds 40] [--text-only]

First `IdentifierMaskingCollator`, on rows that are prepared.

What is timed: fetching a batch of packed rows from the memory-mapped dataset and putting it together, up to the
dictionary of tensors that the model takes. All contestants run in one process, on one thread, in turn on the same rows
in each round; the median of the rounds counts. A token is one that is not padding.

* ours: rows through `EpochStream`, documents masked at random or deobfuscated, position ids of packed documents.
* transformers: `mask_replace_prob=1, random_replace_prob=0` (the random half of ours; it has no identifiers and no
  position ids) on the same rows with `input_ids` only, fetched as a loader fetches them (`__getitems__`), in each
  format that its users choose: Python lists (the default of `datasets`), NumPy arrays, PyTorch tensors.
* nothing fetched: the collators alone, on rows in memory. For transformers these are int64 tensors, its fastest input,
  and once more with the masks of special tokens computed beforehand, as its documentation advises.

Then `DataCollatorForIdentifierMasking`, which parses, tokenizes and masks rows of text, beside transformers' collator
with its tokenizer (a batch at once) on the same texts, cut to the same length, with half of the documents deobfuscated
as in the paper, and with all: whole files of the standard library, and functions of them
(a few hundred tokens each), with our tokenizer and with a byte-level BPE as RoBERTa and ModernBERT have. What counts is
processor time, the median of the rounds; tokens are those that a batch holds.

The program fails when a prepared batch takes longer than any contestant of its group, or a batch of text more than
three times as long as its reference.
"""

import argparse
import ast
import itertools
import logging
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.stages.data.masking import IdentifierMaskingCollator
from open_codesage.train.stages.data.packing import prepare_shards, read_report
from open_codesage.train.stages.data.stream import EpochStream
from open_codesage.train.stages.data.text_masking import DataCollatorForIdentifierMasking
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase, PreTrainedTokenizerFast


def standard_library(megabytes: float) -> datasets.Dataset:
    """Return so much of the running Python's standard library as a dataset of files."""
    texts: list[str] = []
    size = 0
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        texts.append(file.read_text("utf-8", errors="replace"))
        size += len(texts[-1])
        if size > megabytes * 1e6:
            break
    return datasets.Dataset.from_dict({"text": texts, "language": ["python"] * len(texts)})


def contestants(
    rows: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, items: int
) -> dict[str, Callable[[list[int]], dict[str, Any]]]:
    """Return functions that make the batch of the given items, ours first in each group."""
    stream = EpochStream(rows, seed=0, length=items)
    collate = IdentifierMaskingCollator(tokenizer, seed=0)
    reference = DataCollatorForLanguageModeling(tokenizer, mask_replace_prob=1.0, random_replace_prob=0.0)
    order = [int(stream[i]["row_id"]) for i in range(items)]

    def fetched(format: str | None) -> Callable[[list[int]], dict[str, Any]]:
        formatted = rows.select_columns(["input_ids"]).with_format(format)
        return lambda batch: reference(formatted.__getitems__([order[i] for i in batch]))

    in_memory = stream.__getitems__(list(range(items)))
    tensors = [torch.from_numpy(row["input_ids"].astype("int64")) for row in in_memory]
    prepared = [{"input_ids": row, "special_tokens_mask": (row == tokenizer.eos_token_id).long()} for row in tensors]
    return {
        "ours": lambda batch: collate(stream.__getitems__(batch)),
        "transformers, lists": fetched(None),
        "transformers, NumPy": fetched("numpy"),
        "transformers, PyTorch": fetched("torch"),
        "ours, nothing fetched": lambda batch: collate([in_memory[i] for i in batch]),
        "transformers, nothing fetched": lambda batch: reference([tensors[i] for i in batch]),
        "transformers, special tokens known": lambda batch: reference([dict(prepared[i]) for i in batch]),
    }


MOST = 3.0
"""What parsing and masking on the fly may cost, as a multiple of masking at random with tokenization."""


def functions_of(files: datasets.Dataset) -> list[str]:
    """Return the functions of the files, methods included."""
    found = []
    for text in files["text"]:
        try:
            nodes = list(ast.walk(ast.parse(text)))
        except SyntaxError:
            continue
        found += [ast.get_source_segment(text, node) or "" for node in nodes if isinstance(node, ast.FunctionDef)]
    return found


def byte_level(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE with GPT-2's words and RoBERTa's frame."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8192, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    roles = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="<mask>", **roles)


def on_text(files: datasets.Dataset, tokenizers: dict[str, PreTrainedTokenizerBase], options: Any) -> bool:
    """Print the table of collators that begin with text; return whether ours takes more than `MOST` times as long."""
    slower = False
    texts = {"whole files": files["text"][:], "functions": functions_of(files)}
    for (kind, rows), (name, tokenizer), length, share in itertools.product(
        texts.items(), tokenizers.items(), options.lengths, (0.5, 1.0)
    ):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
        ours = DataCollatorForIdentifierMasking(tokenizer, share, max_length=length)
        mask = DataCollatorForLanguageModeling(tokenizer, mask_replace_prob=1.0, random_replace_prob=0.0)
        seconds: dict[str, list[float]] = {"ours": [], "transformers": []}
        tokens = dict.fromkeys(seconds, 0)

        def reference(batch: list[str], mask: Any = mask, tokenizer: Any = tokenizer, length: int = length) -> Any:
            return mask(
                [{"input_ids": ids} for ids in tokenizer(batch, truncation=True, max_length=length)["input_ids"]]
            )

        def on_the_fly(batch: list[str], ours: Any = ours) -> Any:
            return ours([{"content": text, "lang": "python"} for text in batch])

        for turn in range(options.rounds):
            chosen = [rows[order[(turn * options.batch_size + i) % len(rows)]] for i in range(options.batch_size)]
            ours.epoch = turn
            for contestant, function in (("ours", on_the_fly), ("transformers", reference)):
                begin = time.process_time()
                batch = function(chosen)
                seconds[contestant].append(time.process_time() - begin)
                tokens[contestant] += int(batch["attention_mask"].sum())
        total = {contestant: sum(times) for contestant, times in seconds.items()}
        medians = {contestant: statistics.median(times) for contestant, times in seconds.items()}
        ratio, speed = medians["ours"] / medians["transformers"], tokens["ours"] / total["ours"]
        reference_speed = tokens["transformers"] / total["transformers"]
        slower |= ratio > MOST
        print(
            f"{kind}, {name}, at most {length} tokens, {share:.0%} deobfuscated: "
            f"{speed / 1e6:.3f} M tokens/s a core (transformers {reference_speed / 1e6:.3f}), "
            f"{ratio:.2f} times its processor time; "
            f"500,000 tokens/s take {5e5 / speed:.1f} cores",
            flush=True,
        )
    return slower


def main() -> int:
    """Print the tables; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--text-only", action="store_true")
    options = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    torch.set_num_threads(1)

    files = standard_library(options.megabytes)
    tokenizer = train_tokenizer(files["text"], vocab_size=8192, model_max_length=max(options.lengths))
    tokenizers = {"our tokenizer": tokenizer, "byte-level BPE": byte_level(files["text"])}
    slower = on_text(files, tokenizers, options)
    for length in () if options.text_only else options.lengths:
        with tempfile.TemporaryDirectory() as folder:
            rows = prepare_shards(files, tokenizer, length, Path(folder) / "rows")
            fill = read_report(Path(folder) / "rows").fill
            items = len(rows) // options.batch_size * options.batch_size
            if not items:
                sys.exit(f"{len(rows)} rows do not fill a batch: give more megabytes")
            functions = contestants(rows, tokenizer, items)
            seconds = measure(functions, items, options.batch_size, options.rounds)
        print(f"rows of {length} tokens, {options.batch_size} in a batch, {100 * fill:.1f} % of the places filled")
        ours = ""
        for name, median in seconds.items():
            ours = name if name.startswith("ours") else ours
            ratio = median / seconds[ours]
            slower |= ratio < 1
            speed = fill * length * options.batch_size / median / 1e6
            print(f"  {name:36}{speed:7.2f} M tokens/s" + f"   ours is {ratio:5.2f} times as fast" * (name != ours))
    return int(slower)


def measure(
    functions: dict[str, Callable[[list[int]], dict[str, Any]]], items: int, batch_size: int, rounds: int
) -> dict[str, float]:
    """Time all functions on the same batches in turn; return the median seconds per batch of each."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds):
        start = turn * batch_size % items
        for name, function in functions.items():
            begin = time.perf_counter()
            function(list(range(start, start + batch_size)))
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
