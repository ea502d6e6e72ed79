"""Consistency filter: keep the pairs that an encoder trained on them can find again (CodeSage version 2).

Contract: `main(config)` writes a corpus folder like the one it reads, with the training pairs whose function is among
the `top_k` nearest to its summary, itself and `sample` functions drawn from the same split compared. Files and
held-out functions stay as they are. `report.json` counts what is kept, by language.

Invariants: which pairs stay depends on the corpus, the model and the config, not on blocks or interruptions. Memory
grows with the sample and the blocks, not with the corpus; an interrupted run resumes after the last whole block.
"""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.console import say
from ..common.tree import files
from .configs import ConsistencyConfig

if TYPE_CHECKING:
    import torch

_BLOCK = 4096
"""Pairs that are embedded and ranked at once."""
_RIVALS = 16_384
"""Functions of the sample that are compared at once."""


def main(config: ConsistencyConfig) -> Path:
    """Write the filtered corpus folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the corpus or the model cannot be used, the output is there already, or no pair would stay.
    """
    import numpy as np

    from ..common.output import new_folder, run_folder
    from ..corpus.corpus import Corpus

    corpus = Corpus(config.corpus)
    functions = corpus.functions("train")
    # An output that exists is refused before hours of work.
    with new_folder(config.output) as folder:
        ranks = _ranks(config, functions, run_folder(config.output) / "ranks")
        kept = np.asarray(ranks) <= config.top_k
        if not kept.any():
            raise ValueError(f"none of {len(kept)} pairs is consistent: train {config.model} longer, or raise top_k")
        counts = _write(corpus, config, functions, kept, folder)
    shutil.rmtree(run_folder(config.output), ignore_errors=True)
    by_language = ", ".join(f"{name} {c['kept'] / c['pairs']:.0%}" for name, c in counts.items())
    say(f"consistency: {int(kept.sum())} of {len(kept)} pairs stay ({by_language}) -> {config.output}")
    return config.output


def _ranks(config: ConsistencyConfig, functions: Any, folder: Path) -> list[int]:
    """Rank every pair's function among the sample, block by block, each block written down."""
    import numpy as np
    from tqdm import tqdm

    from ..retrieval.encoder import Encoder

    encoder = Encoder(config.model, config.batch_size, config.max_length)
    _claim(folder, config, functions)
    drawn = np.random.default_rng(config.seed).permutation(len(functions))[: config.sample]
    numbers = np.sort(drawn)
    sample: torch.Tensor | None = None
    ranks: list[int] = []
    with tqdm(total=len(functions), unit="pair", desc="consistency") as bar:
        for begin in range(0, len(functions), _BLOCK):
            block = functions[begin : begin + _BLOCK]
            record = folder / f"{begin}.json"
            if record.is_file():
                found = json.loads(record.read_text("utf-8"))
            else:
                if sample is None:
                    sample = encoder.documents(functions[numbers]["code"])
                texts, codes = encoder.queries(block["summary"]), encoder.documents(block["code"])
                own = range(begin, begin + len(texts))
                found = rank_own(texts, codes, sample, np.searchsorted(numbers, own), numbers, own)
                aside = record.with_suffix(".partial")
                aside.write_text(json.dumps(found), "utf-8")
                aside.replace(record)
            ranks += found
            bar.update(len(found))
    return ranks


def rank_own(
    texts: "torch.Tensor", codes: "torch.Tensor", sample: "torch.Tensor", places: Any, numbers: Any, own: range
) -> list[int]:
    """Rank the function of every pair by its cosine with the summary, among itself and a sample of others.

    Args:
        texts: embeddings of the summaries, float [B, D].
        codes: embeddings of the pairs' own functions, float [B, D].
        sample: embeddings of the sampled functions, float [S, D].
        places: where in the sample a pair's own function stands, or would stand, int [B].
        numbers: numbers of the sampled functions, ascending, int [S].
        own: numbers of the pairs.

    Returns:
        One rank a pair, from 1; a function as near as the own one counts as nearer.
    """
    import torch
    from torch.nn.functional import normalize

    from ..retrieval.ranking import RESOLUTION

    texts, codes, sample = (normalize(vectors.float(), dim=-1) for vectors in (texts, codes, sample))
    if not (texts.isfinite().all() and codes.isfinite().all()):
        raise ValueError("some embeddings are not finite: the model is broken, look at its training loss")
    least = (texts * codes).sum(-1, keepdim=True) - RESOLUTION
    nearer = torch.zeros(len(texts), dtype=torch.int64)
    for rivals in sample.split(_RIVALS):
        nearer += (texts @ rivals.T >= least).sum(-1)
    # A function that is in the sample itself is not its own rival.
    inside = [place < len(numbers) and numbers[place] == number for place, number in zip(places, own, strict=True)]
    return (nearer - torch.tensor(inside).long() + 1).tolist()


def _claim(folder: Path, config: ConsistencyConfig, functions: Any) -> None:
    """Make the folder of the ranks, or empty it when they were found under other settings."""
    from ..common.fingerprint import digest
    from ..common.run import reset_unless_same

    weights = sorted(path for path in files(Path(config.model)) if path.suffix == ".safetensors")
    settings = {
        "pairs": len(functions),
        "corpus": digest(*sorted((config.corpus / "functions").glob("part-*.parquet"))),
        "model": digest(*weights) if weights else config.model,
        **{name: getattr(config, name) for name in ("sample", "max_length", "seed")},
    }
    reset_unless_same(folder, settings)


def _write(corpus: Any, config: ConsistencyConfig, functions: Any, kept: Any, folder: Path) -> dict[str, Any]:
    """Write the filtered corpus; returns the counts by language."""
    from ..corpus.corpus import FUNCTION_COLUMNS, PartWriter

    shutil.copytree(corpus.folder / "files", folder / "files")
    shutil.copy(corpus.folder / "held_out.json", folder / "held_out.json")
    pairs, stay = Counter(functions["language"]), Counter[str]()
    columns = {**FUNCTION_COLUMNS, **_further_columns(functions)}
    with PartWriter(folder / "functions", columns) as writer:
        for row, keep in zip(functions, kept, strict=True):
            if keep:
                writer.write(row)
                stay[row["language"]] += 1
        for row in corpus.functions("held_out"):
            writer.write(row)
    counts = {language: {"pairs": pairs[language], "kept": stay[language]} for language in sorted(pairs)}
    report = json.loads((corpus.folder / "report.json").read_text("utf-8"))
    report["consistency"] = {"top_k": config.top_k, "sample": config.sample, "languages": counts}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return counts


def _further_columns(functions: Any) -> dict[str, Any]:
    from ..corpus.corpus import FUNCTION_COLUMNS

    return {field.name: field.type for field in functions.data.schema if field.name not in FUNCTION_COLUMNS}
