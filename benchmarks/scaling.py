"""How a bag of tokens scales with its width and its training, on one core.

    python benchmarks/scaling.py --corpus CORPUS --tokenizer FOLDER --tasks TASK ... --output FOLDER
        [--widths 96 192 384 768] [--steps 75 150 300 600 1200] [--no-sharing] [--token-dropout 0.3]

Each run trains the model of `train/recipes/nano` anew, its learning rate falling to zero over its own steps, and
searches the tasks with it. What `open-codesage contrast` does in two seconds a step is here one lookup in a table over
token ids that were computed once, so that a grid of twenty runs takes half an hour: same pairs, batches, loss and
sharing of gradients, but no hard positives, no positions and no Matryoshka dimensions. Runs that are in
FOLDER/runs.jsonl are not done again.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from numpy.typing import NDArray
from open_codesage.train.corpus.corpus import Corpus
from open_codesage.train.evaluation.tasks import read_task
from open_codesage.train.retrieval.protocols import EmbeddingRanker, measure_task
from open_codesage.train.retrieval.task import ALL, Task
from open_codesage.train.stages.data.batches import PairBatchSampler
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss
from open_codesage.train.stages.spellings import join_spellings, spellings
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

BATCH, TEXT, CODE, TEMPERATURE, LEARNING_RATE, WARMUP = 1024, 96, 512, 0.05, 7e-3, 0.02
DOCUMENTATION_SHARE = 0.2
COLUMNS = 4


class Tokens:
    """The token ids of many texts, end to end."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int) -> None:
        parts, lengths = [], []
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(length)
        for start in range(0, len(texts), 1000):
            rows = [row.ids for row in backend.encode_batch_fast(texts[start : start + 1000])]
            lengths += map(len, rows)
            parts.append(np.fromiter((token for row in rows for token in row), np.int32, sum(map(len, rows))))
        self.ids, self.lengths = np.concatenate(parts), np.array(lengths)
        self.starts = self.lengths.cumsum() - self.lengths

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of some texts, end to end [N], and the number of the text of each of them [N]."""
        lengths = self.lengths[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        place = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        return self.ids[self.starts[rows][owner] + place].astype(np.int64), owner


def embed(
    table: nn.Embedding, ids: NDArray[np.int64], owner: NDArray[np.int64], rows: int, dropout: float = 0
) -> Tensor:
    """Average the vectors of each text and normalise: [rows, H]."""
    if dropout:
        kept = torch.rand(len(ids)).numpy() >= dropout
        kept[np.flatnonzero(np.diff(owner, prepend=-1))] = True
        ids, owner = ids[kept], owner[kept]
    offsets = np.searchsorted(owner, np.arange(rows))
    return F.normalize(F.embedding_bag(torch.from_numpy(ids), table.weight, torch.from_numpy(offsets)), dim=-1)


def batches(pairs: Dataset) -> Iterator[NDArray[np.int64]]:
    """Give the batches of Stage II without end."""
    sampler = PairBatchSampler(pairs, BATCH)
    for epoch in range(10**6):
        sampler.set_epoch(epoch)
        yield from sampler.global_batches()


def train(
    sides: dict[str, Tokens], pairs: Dataset, words: Tensor, width: int, steps: int, sharing: bool, dropout: float
) -> nn.Embedding:
    """Train a table of token vectors."""
    torch.manual_seed(0)
    table = nn.Embedding(len(words), width)
    nn.init.normal_(table.weight, std=0.1)
    if sharing:
        join_spellings(table, words)
    criterion = HardNegativeContrastiveLoss(nn.Identity(), TEMPERATURE, gamma="none", mini_batch_size=None)
    optimizer = torch.optim.Adam(table.parameters(), lr=LEARNING_RATE, fused=True)
    for step, rows in zip(range(steps), batches(pairs), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / (WARMUP * steps), (steps - step) / steps)
        text = "documentation" if torch.rand(()) < DOCUMENTATION_SHARE else "summary"
        loss = criterion.calculate_loss(
            [[embed(table, *sides[side].take(rows), BATCH, dropout)] for side in (text, "code")]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return table


def search(table: nn.Embedding, tasks: list[tuple[Task, Tokens, Tokens]]) -> dict[str, float]:
    """Measure MRR in percent, by task and protocol."""
    figures: dict[str, float] = {}
    for task, queries, documents in tasks:
        with torch.no_grad():
            found = [
                torch.cat([
                    embed(table, *tokens.take(rows), len(rows))
                    for rows in np.array_split(np.arange(len(tokens.lengths)), 1 + len(tokens.lengths) // 1000)
                ])
                for tokens in (queries, documents)
            ]  # fmt: skip
        measured = measure_task(task, EmbeddingRanker(*found))
        figures |= {f"{task.name} {protocol}": round(parts[ALL]["mrr"], 2) for protocol, parts in measured.items()}
    return figures


def main() -> None:
    """Do the runs that are not done, and draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--tasks", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[96, 192, 384, 768])
    parser.add_argument("--steps", type=int, nargs="+", default=[75, 150, 300, 600, 1200])
    parser.add_argument("--no-sharing", action="store_true")
    parser.add_argument("--token-dropout", type=float, default=0.3)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    runs = options.output / "runs.jsonl"
    done = [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    words = spellings(tokenizer)
    rows = Corpus(options.corpus).functions("train")
    sides = {
        side: Tokens(tokenizer, rows[side][:], length)
        for side, length in (("summary", TEXT), ("documentation", TEXT), ("code", CODE))
    }
    pairs = rows.select_columns(["summary", "code", "language"])
    tasks = []
    for task in map(read_task, options.tasks):
        queries, documents = (
            Tokens(tokenizer, [item.text for item in items], CODE) for items in (task.queries, task.documents)
        )
        tasks.append((task, queries, documents))
    for steps in options.steps:
        for width in options.widths:
            run = {"width": width, "steps": steps, "sharing": not options.no_sharing, "dropout": options.token_dropout}
            if any(run.items() <= other.items() for other in done):
                continue
            start = time.perf_counter()
            table = train(sides, pairs, words, width, steps, run["sharing"], run["dropout"])
            entry = run | {"seconds": round(time.perf_counter() - start)} | search(table, tasks)
            done.append(entry)
            with runs.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
    draw([entry for entry in done if entry["sharing"] and entry["dropout"] == options.token_dropout], options.output)


def draw(runs: list[dict[str, float]], output: Path) -> None:
    """Plot every figure over the steps, a line for each width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in runs[0] if " " in name]
    rows = math.ceil(len(names) / COLUMNS)
    figure, panels = pyplot.subplots(
        rows, COLUMNS, figsize=(3 * COLUMNS, 2.6 * rows), squeeze=False, layout="constrained"
    )
    for panel, name in itertools.zip_longest(panels.flat, names):
        if name is None:
            panel.axis("off")
            continue
        for width in sorted({run["width"] for run in runs}):
            line = sorted((run["steps"], run[name]) for run in runs if run["width"] == width)
            panel.plot(*zip(*line, strict=True), marker="o", markersize=3, label=f"{width} wide")
        panel.set_title(name, fontsize=9)
        panel.set_xscale("log")
        steps = sorted({run["steps"] for run in runs})
        panel.set_xticks(steps, map(str, steps), minor=False)
        panel.minorticks_off()
    figure.supxlabel("steps of 1,024 pairs")
    figure.supylabel("MRR, %")
    panels[0][0].legend(fontsize=7)
    figure.savefig(output / "scaling.png", dpi=90)


if __name__ == "__main__":
    main()
