"""How fast both stages train on a card, against a large matrix product in the same run.

    python benchmarks/cuda_training.py --output FILE.json [--tiny]

Random data, the package's own trainers' models, losses and autocast, fused AdamW. Milliseconds of a step are the median
of several, timed with events of the device; the MFU is that of `training_flops` over the matrix product's rate. Each
measurement stands by itself: what fails is recorded as an `error`, the rest goes on, and the program ends with 1.
`--tiny` rehearses everything in small on a CPU, where the figures mean nothing.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import TorchDynamoPlugin
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM, CodeSageModel
from open_codesage.modeling.attention_codesage import takes_listed
from open_codesage.train.stages.callbacks.throughput import measured_peak, training_flops, work
from open_codesage.train.stages.data.batches import flatten
from open_codesage.train.stages.data.masking import documents_of, positions_of
from open_codesage.train.stages.data.masks import positions
from open_codesage.train.stages.length_buckets import bucket_by_length
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss
from torch import Tensor, nn
from transformers import BertConfig, BertModel

NO_DROPOUT = {"embedding_dropout_prob": 0.0, "residual_dropout_prob": 0.0, "attention_dropout_prob": 0.0}
ROW, DOCUMENTS, LABELLED = 1024, 4, 0.2
SIDES = {"text": 48, "code": 256}

Features = list[dict[str, Any]]


def shapes(tiny: bool) -> dict[str, CodeSageConfig]:
    """The encoders: 30 million parameters, and the small one of the paper."""
    if tiny:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        return {"30M": CodeSageConfig(vocab_size=64, pad_token_id=2, **sizes, **NO_DROPOUT)}
    thirty = {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048}
    return {
        "30M": CodeSageConfig(vocab_size=16384, max_position_embeddings=ROW, pad_token_id=2, **thirty, **NO_DROPOUT),
        "small": CodeSageConfig.from_preset("small", **NO_DROPOUT),
    }


def packed_batch(config: CodeSageConfig, rows: int, row: int) -> dict[str, Any]:
    """A batch as Stage I's loader makes it with fixed shapes: four documents of chance lengths fill each row."""
    generator = np.random.default_rng(0)
    cuts = np.sort(generator.integers(1, row, (rows, DOCUMENTS - 1)), axis=1)
    lengths = np.diff(cuts, axis=1, prepend=0, append=row).ravel()
    ids = generator.integers(3, config.vocab_size, (rows, row))
    labels = np.where(generator.random(ids.shape) < LABELLED, ids, -100)
    arrays = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": positions(lengths, ids.shape),
        "labels": labels,
        "cu_seq_lens_q": documents_of(lengths, rows),
        "masked_lm_positions": positions_of(labels),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"max_length_q": row}


def pairs_batch(vocabulary: int, pairs: int) -> Features:
    """Texts and codes of chance lengths between a quarter and the whole of the longest, padded."""
    generator = torch.Generator().manual_seed(0)
    batch = []
    for longest in SIDES.values():
        lengths = torch.randint(longest // 4, longest + 1, (pairs, 1), generator=generator)
        lengths[0] = longest
        mask = (torch.arange(longest) < lengths).long()
        ids = torch.randint(3, vocabulary, (pairs, longest), generator=generator)
        batch.append({"input_ids": ids * mask, "attention_mask": mask})
    return batch


class Embedder(nn.Module):
    """An encoder with mean pooling, as the losses call it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: dict[str, Any]) -> dict[str, Tensor]:
        """Embed rows, padded or end to end: [B, H]."""
        kwargs = {key: value for key, value in features.items() if key != "seq_idx"}
        states = self.encoder(**kwargs).last_hidden_state
        if "seq_idx" in features:
            ends = features["cu_seq_lens_q"]
            sums = states.new_zeros(len(ends) - 1, states.shape[-1]).index_add_(0, features["seq_idx"][0], states[0])
            return {"sentence_embedding": sums / ends.diff()[:, None]}
        mask = features["attention_mask"][..., None]
        return {"sentence_embedding": (states * mask).sum(1) / mask.sum(1)}


def training(model: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    """One step of training: forward, backward, clipping, fused AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        forward().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def median_milliseconds(step: Callable[[], None], device: torch.device, repetitions: int) -> dict[str, float]:
    """Time a step after three others, the first of which may compile; `first_seconds` is what that one took."""
    start = time.perf_counter()
    step()
    wait(device)
    first = time.perf_counter() - start
    for _ in range(2):
        step()
    times = []
    wait(device)
    if device.type == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repetitions + 1)]
        marks[0].record()
        for mark in marks[1:]:
            step()
            mark.record()
        wait(device)
        times = [one.elapsed_time(other) for one, other in pairwise(marks)]
    else:
        for _ in range(repetitions):
            start = time.perf_counter()
            step()
            times.append(1000 * (time.perf_counter() - start))
    return {"milliseconds": statistics.median(times), "slowest": max(times), "first_seconds": first}


def wait(device: torch.device) -> None:
    """Wait for the device."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def to(device: torch.device, batch: dict[str, Any]) -> dict[str, Any]:
    """Move the tensors of a batch."""
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def stage_one(
    config: CodeSageConfig, device: torch.device, rows: int, row: int, compiled: str | None, listed: bool = True
) -> tuple[Callable[[], None], dict[str, float]]:
    """A step of Stage I, wrapped as the Trainer wraps it."""
    torch.manual_seed(0)
    plugin = TorchDynamoPlugin(backend=compiled) if compiled else None
    AcceleratorState._reset_state(reset_partial_state=True)  # Of two, the second would be made as the first.
    accelerator = Accelerator(mixed_precision="bf16", cpu=device.type == "cpu", dynamo_plugin=plugin)
    inner = CodeSageForMaskedLM(config).to(device).train()
    batch = to(device, packed_batch(config, rows, row))
    counted = work(batch).tolist()
    batch["num_items_in_batch"] = torch.tensor(counted[2], device=device)
    if not listed:
        for name in ("cu_seq_lens_q", "max_length_q", "masked_lm_positions"):
            del batch[name]
    model = accelerator.prepare_model(inner)
    facts = {"tokens": counted[0], "flops": training_flops(config, counted)}
    facts["kernel"] = takes_listed(config, device, torch.bfloat16, training=True)
    return training(inner, lambda: model(**batch).loss), facts


def stage_two(
    kind: str, config: CodeSageConfig, device: torch.device, pairs: int
) -> tuple[Callable[[], None], dict[str, float]]:
    """A step of Stage II without a gradient cache: our encoder end to end, or a BERT of MiniLM's shape, padded."""
    torch.manual_seed(0)
    encoder: Any
    if kind.startswith("bert"):
        sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
        if device.type == "cpu":
            sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
        plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        encoder = BertModel(BertConfig(**sizes, **plain), add_pooling_layer=False)
        if kind == "bert in pieces":
            bucket_by_length(encoder, 1 << 17)
    else:
        encoder = CodeSageModel(config)
    encoder = encoder.to(device).train()
    batch = [to(device, side) for side in pairs_batch(encoder.config.vocab_size, pairs)]
    loss = HardNegativeContrastiveLoss(Embedder(encoder), mini_batch_size=None)  # type: ignore[arg-type]
    counted = torch.stack([work(side) for side in batch]).sum(0).tolist()
    flat = not kind.startswith("bert") and takes_listed(encoder.config, device, torch.bfloat16, training=True)

    def forward() -> Tensor:
        features = [flatten(**{f"{key}_BT": value for key, value in side.items()}) for side in batch] if flat else batch
        with torch.autocast(device.type, torch.bfloat16):
            return loss(features)

    return training(encoder, forward), {"tokens": counted[0], "flops": training_flops(encoder.config, counted)}


def main() -> int:
    """Measure what there is time for; write the file after each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="rehearse in small on a CPU")
    parser.add_argument("--seconds", type=float, default=60.0, help="begin no measurement after so many")
    options = parser.parse_args()
    begin = time.perf_counter()
    tiny = options.tiny
    device = torch.device("cpu") if tiny else torch.device("cuda", 0)
    rows, row, pairs, repetitions = (2, 32, 8, 2) if tiny else (64, ROW, 1024, 10)
    compiler = "aot_eager" if tiny else "inductor"
    results: dict[str, Any] = {
        "torch": torch.__version__,
        "device": "cpu" if tiny else torch.cuda.get_device_name(device),
        "matmul_tflops": measured_peak(device, torch.bfloat16) / 1e12,
        "measurements": {},
    }
    configs = shapes(tiny)
    plan: dict[str, Callable[[], tuple[Callable[[], None], dict[str, float]]]] = {}
    for name, config in configs.items():
        plan[f"stage I, {name}, eager"] = lambda config=config: stage_one(config, device, rows, row, None)
    plan["stage II, 30M"] = lambda: stage_two("ours", configs["30M"], device, pairs)
    plan["stage II, bert padded"] = lambda: stage_two("bert", configs["30M"], device, pairs)
    plan["stage II, bert in pieces"] = lambda: stage_two("bert in pieces", configs["30M"], device, pairs)
    for name, config in configs.items():
        plan[f"stage I, {name}, compiled"] = lambda config=config: stage_one(config, device, rows, row, compiler)
    plan["stage I, 30M, eager, nothing listed"] = lambda: stage_one(configs["30M"], device, rows, row, None, False)
    for name, prepare in plan.items():
        entry: dict[str, Any] = {}
        results["measurements"][name] = entry
        if time.perf_counter() - begin > options.seconds:
            entry["error"] = "left out: the time was over"
        else:
            try:
                step, facts = prepare()
                entry |= facts | median_milliseconds(step, device, repetitions)
                rate = entry["flops"] / entry["milliseconds"] / 1e9
                entry |= {"tflops": rate, "mfu": rate / results["matmul_tflops"]}
                entry["tokens_per_second"] = 1000 * entry["tokens"] / entry["milliseconds"]
                if not tiny:
                    entry["gigabytes"] = torch.cuda.max_memory_allocated(device) / 1e9
            except Exception:  # noqa: BLE001  whatever it is, it is recorded, and the program fails at the end
                entry["error"] = traceback.format_exc()
            step = prepare = None  # type: ignore[assignment]
            if not tiny:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
        options.output.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
        if "error" in entry:
            told = entry["error"].strip().splitlines()[-1]
        else:
            told = f"{entry['milliseconds']:.1f} ms, MFU {entry['mfu']:.1%}, first step {entry['first_seconds']:.0f} s"
        print(f"{name}: {told}", flush=True)
    return int(any("error" in entry for entry in results["measurements"].values()))


if __name__ == "__main__":
    sys.exit(main())
