"""What the first dimensions of a model's embeddings are worth alone.

    python benchmarks/dimensions.py --model FOLDER --tasks TASK ... [--dimensions 768 384 256 128 64]

Every text is embedded once; then the embeddings are cut, normalised, and searched with. Prints a Markdown table of MRR
in percent, of the protocol `pairwise` where a task has it.
"""

import argparse
from pathlib import Path

import open_codesage.modeling  # noqa: F401  registers the Auto classes
import torch.nn.functional as F
from open_codesage.train.evaluation.protocols import EmbeddingRanker, measure_task
from open_codesage.train.evaluation.tasks import read_task
from sentence_transformers import SentenceTransformer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", type=Path, nargs="+", required=True)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[768, 384, 256, 128, 64])
    options = parser.parse_args()
    model = SentenceTransformer(options.model, device="cpu")
    print("| | " + " | ".join(map(str, options.dimensions)) + " |")
    print("|---|" + "---:|" * len(options.dimensions))
    for path in options.tasks:
        task = read_task(path)
        queries, documents = (
            model.encode([item.text for item in items], batch_size=64, convert_to_tensor=True)
            for items in (task.queries, task.documents)
        )
        cells = []
        for dimension in options.dimensions:
            cut = [F.normalize(vectors[:, :dimension], dim=-1) for vectors in (queries, documents)]
            figures = measure_task(task, EmbeddingRanker(*cut))
            cells.append(f"{figures.get('pairwise', figures.get('full', {}))['all']['mrr']:.1f}")
        print(f"| {task.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
