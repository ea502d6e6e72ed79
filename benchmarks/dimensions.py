"""What the first dimensions of a model's embeddings are worth alone.

    python benchmarks/dimensions.py --model FOLDER --tasks TASK ... [--dimensions 768 384 256 128 64]

Every text is embedded once; then the embeddings are cut, normalised, and searched with. Prints a Markdown table of MRR
in percent, of the protocol `pairwise` where a task has it.
"""

import argparse
from pathlib import Path

import torch.nn.functional as F
from open_codesage.train.evaluation.tasks import read_task
from open_codesage.train.retrieval.encoder import Encoder
from open_codesage.train.retrieval.protocols import EmbeddingRanker, measure_task
from open_codesage.train.retrieval.task import ALL


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", type=Path, nargs="+", required=True)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[768, 384, 256, 128, 64])
    options = parser.parse_args()
    encoder = Encoder(options.model, batch_size=64)
    print("| | " + " | ".join(map(str, options.dimensions)) + " |")
    print("|---|" + "---:|" * len(options.dimensions))
    for path in options.tasks:
        task = read_task(path)
        queries = encoder.queries([query.text for query in task.queries])
        documents = encoder.documents([document.text for document in task.documents])
        cells = []
        for dimension in options.dimensions:
            cut = [F.normalize(vectors[:, :dimension], dim=-1) for vectors in (queries, documents)]
            figures = measure_task(task, EmbeddingRanker(*cut))
            cells.append(f"{figures['pairwise' if 'pairwise' in figures else 'full'][ALL]['mrr']:.1f}")
        print(f"| {task.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
