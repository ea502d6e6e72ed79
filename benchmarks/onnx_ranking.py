"""What onnxruntime costs in ranking quality: one model in torch, as an ONNX graph, and as one with 8-bit weights.

A Hub folder written by `open-codesage export --onnx --int8` embeds one set for retrieval three times, in the same
batches (texts of similar length together). The set is a folder with `corpus.jsonl.gz` and `queries.jsonl.gz` (`_id` and
`text`) and `qrels.tsv` (query, document, score). Every query ranks all documents by cosine. Told are the mean
reciprocal rank, its difference from torch's with the interval that holds the true one with 95 % (paired by query), the
share of queries whose first relevant document changes its rank, the lowest cosine of a document's embedding with
torch's, and the lowest one of an embedding made in its batch with that of the same text alone.

    python benchmarks/onnx_ranking.py FOLDER SET --max-length 256
"""

import argparse
import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from open_codesage.modeling import CodeSageModel
from open_codesage.train.release.onnx_graph import GRAPH, INPUTS, INT8_GRAPH, open_graph
from open_codesage.train.retrieval.ranking import top_k
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast

Embed = Callable[[dict[str, torch.Tensor]], torch.Tensor]


def read_set(folder: Path) -> tuple[list[str], list[str], list[set[int]]]:
    """Read documents, queries that have an answer, and for each query the numbers of the documents that answer it."""
    rows = {}
    for name in ("corpus", "queries"):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows[name] = {row["_id"]: row["text"] for row in map(json.loads, file)}
    numbers = {identifier: number for number, identifier in enumerate(rows["corpus"])}
    answers: dict[str, set[int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if float(score) > 0:
            answers.setdefault(query, set()).add(numbers[document])
    return list(rows["corpus"].values()), [rows["queries"][query] for query in answers], list(answers.values())


def encode(texts: list[str], tokenizer: PreTrainedTokenizerFast, embed: Embed, batch_size: int) -> torch.Tensor:
    """Return normalised embeddings, [texts, H]."""
    rows = tokenizer(texts, truncation=True, return_attention_mask=False)["input_ids"]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = []
    for begin in range(0, len(order), batch_size):
        batch = tokenizer.pad({"input_ids": [rows[n] for n in order[begin : begin + batch_size]]}, return_tensors="pt")
        found.append(embed({name: batch[name] for name in INPUTS}))
    return normalize(torch.cat(found)[torch.tensor(order).argsort()], dim=-1)


def first_ranks(queries: torch.Tensor, documents: torch.Tensor, answers: list[set[int]]) -> npt.NDArray[np.float64]:
    """Return for each query the rank of its first relevant document, from 1."""
    ranking = top_k(queries, documents, len(documents))[0].numpy()
    hits = (np.isin(row, list(relevant)) for row, relevant in zip(ranking, answers, strict=True))
    return np.array([hit.argmax() + 1.0 for hit in hits])


def run_graph(session: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what a graph of onnxruntime makes of a batch."""
    named = {name: values.numpy() for name, values in batch.items()}
    return torch.from_numpy(session.run(["pooler_output"], named)[0])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Hub folder with ONNX graphs")
    parser.add_argument("set", type=Path, help="folder of the set")
    parser.add_argument("--max-length", type=int, help="longer texts are cut (default: the model's longest input)")
    parser.add_argument("--batch-size", type=int, default=32, help="texts in a batch (default: 32)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    parser.add_argument("--alone", type=int, default=200, help="documents embedded alone too (default: 200)")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, options.max_length or tokenizer.model_max_length)
    encoder = CodeSageModel.from_pretrained(options.folder, dtype=torch.float32).eval()
    embedders: dict[str, Embed] = {"torch": lambda batch: encoder(**batch).pooler_output}
    for name, file in (("onnx", GRAPH), ("onnx int8", INT8_GRAPH)):
        embedders[name] = partial(run_graph, open_graph(options.folder / file, options.threads))
    documents, queries, answers = read_set(options.set)
    print(
        f"{options.folder.name}, {encoder.num_parameters():,} parameters; {options.set.name}: {len(documents)} "
        f"documents, {len(queries)} queries, at most {tokenizer.model_max_length} tokens"
    )
    print(f"{'':<11}{'MRR':>7}{'difference':>18}{'ranks moved':>13}{'cosine':>9}{'alone':>9}")
    with torch.inference_mode():
        for name, embed in embedders.items():
            found = encode(documents, tokenizer, embed, options.batch_size)
            ranks = first_ranks(encode(queries, tokenizer, embed, options.batch_size), found, answers)
            if name == "torch":
                expected, expected_ranks = found, ranks
            step = max(1, len(documents) // options.alone)
            alone = encode(documents[::step], tokenizer, embed, 1)
            gain = 100 * (1 / ranks - 1 / expected_ranks)
            margin = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
            print(
                f"{name:<11}{100 * (1 / ranks).mean():7.2f}{gain.mean():+9.3f} ± {margin:6.3f}"
                f"{(ranks != expected_ranks).mean():13.1%}{(found * expected).sum(-1).min():9.4f}"
                f"{(found[::step] * alone).sum(-1).min():9.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
