"""How fast a BERT trains on real pairs on this machine, against rows of one length, and without mini-batches by length.

    python benchmarks/train_lengths.py --corpus CORPUS --tokenizer FOLDER [--pairs 64] [--rounds 3] [--threads 1]

Steps of Stage II, forward and backward, of an encoder of the size of all-MiniLM-L6-v2 with random weights, over pairs
of one corpus as `contrast` batches them. Four kinds of steps take turns, so that a load that comes and goes falls on
all of them; a kind counts with its fastest round. Tokens are those that count:

* bucketed: real pairs, computed by `bucket_by_length`;
* padded: the same pairs, padded to the longest of the batch;
* mini-batches: the same pairs in the mini-batches of gradient caching, which embed everything twice;
* one length: as many texts and codes, all of the mean length of their side, so that there is no padding at all.

With one thread the clock is the processor time of this process, else the wall clock. The program fails when bucketed
has less than 85 % of the speed of one length.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_codesage.train.corpus.corpus import Corpus
from open_codesage.train.stages.data.batches import PairBatchSampler, PairCollator
from open_codesage.train.stages.length_buckets import bucket_by_length
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel

LEAST = 0.85
SIDES = ("text", "code")


class Embedder(nn.Sequential):
    """An encoder with mean pooling, as the losses call it."""

    def __init__(self, vocab_size: int, bucketed: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        if bucketed:
            bucket_by_length(self.encoder)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed padded rows: [B, H]."""
        states, mask = self.encoder(**features).last_hidden_state, features["attention_mask"][..., None]
        return {"sentence_embedding": (states * mask).sum(1) / mask.sum(1)}


def real_batch(corpus: Path, tokenizer: Any, pairs: int, lengths: tuple[int, int]) -> list[dict[str, Tensor]]:
    """Collate the first batch of an epoch of Stage II: texts and codes, padded."""
    rows = Corpus(corpus).functions("train", ["python"]).select_columns(["summary", "code", "language"])

    def preprocess(texts: list[str], processing_kwargs: dict[str, Any]) -> dict[str, Any]:
        length = processing_kwargs["text"]["max_length"]
        return dict(tokenizer(texts, truncation=True, max_length=length, padding=True, return_tensors="pt"))

    chosen = next(iter(PairBatchSampler(rows, pairs, processes=1)))
    batch = PairCollator(preprocess, *lengths, hard_positive_share=0.0)([rows[row] for row in chosen])
    return [{key: batch[f"{side}_{key}"] for key in ("input_ids", "attention_mask")} for side in SIDES]


def even_batch(batch: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """As many rows, all of the mean length of their side."""
    even = []
    for side in batch:
        rows, length = len(side["input_ids"]), round(side["attention_mask"].sum().item() / len(side["input_ids"]))
        ids = side["input_ids"][side["attention_mask"].bool()]
        even.append({
            "input_ids": ids.repeat(2)[: rows * length].reshape(rows, length),
            "attention_mask": torch.ones(rows, length, dtype=torch.long),
        })  # fmt: skip
    return even


def main() -> int:
    """Measure and print one table; returns 1 if the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder of `extract`")
    parser.add_argument("--tokenizer", required=True, help="folder of the tokenizer")
    parser.add_argument("--pairs", type=int, default=64, help="pairs in a batch (default: 64)")
    parser.add_argument("--text-max-length", type=int, default=48, help="longer texts are cut (default: 48 tokens)")
    parser.add_argument("--code-max-length", type=int, default=112, help="longer codes are cut (default: 112 tokens)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="a kind counts with its fastest round (default: 3)")
    options = parser.parse_args()

    clock = time.process_time if options.threads == 1 else time.perf_counter
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer, local_files_only=True)
    real = real_batch(options.corpus, tokenizer, options.pairs, (options.text_max_length, options.code_max_length))
    even = even_batch(real)

    def step(bucketed: bool, mini_batch_size: int | None, batch: list[dict[str, Tensor]]) -> Callable[[], None]:
        model = Embedder(len(tokenizer), bucketed)
        loss = HardNegativeContrastiveLoss(model, gamma="none", mini_batch_size=mini_batch_size)  # type: ignore[arg-type]

        def run() -> None:
            model.zero_grad()
            loss([dict(side) for side in batch]).backward()

        return run

    steps = {
        "bucketed": (step(True, None, real), real),
        "padded": (step(False, None, real), real),
        "mini-batches": (step(False, 32, real), real),
        "one length": (step(False, None, even), even),
    }
    seconds = dict.fromkeys(steps, float("inf"))
    for number in range(options.rounds + 1):
        for name, (run, _) in steps.items():
            started = clock()
            run()
            # The first round is for warming up.
            seconds[name] = min(seconds[name], clock() - started) if number else seconds[name]
    speed = {}
    for name, (_, batch) in steps.items():
        tokens = sum(int(side["attention_mask"].sum()) for side in batch)
        places = sum(side["input_ids"].numel() for side in batch)
        speed[name] = tokens / seconds[name]
        print(f"{name + ':':<14}{speed[name]:8.0f} tokens/s, {tokens} of {places} places in the batch count")
    share = speed["bucketed"] / speed["one length"]
    print(f"bucketed has {share:.0%} of the speed of one length, {speed['bucketed'] / speed['padded']:.2f}x of padded")
    return int(share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
