"""A Stage I run that takes a second: its inputs, its settings, and a process that can be killed at a chosen moment.

python tiny_pretraining.py SETTINGS.json [--kill-in-step N | --kill-in-save N]
"""

import argparse
import gc
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
import transformers.trainer
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.corpus.corpus import FILE_COLUMNS, PartWriter
from open_codesage.train.stages.configs import PretrainConfig
from open_codesage.train.stages.pretrain import main
from transformers import TrainerCallback

# Every run collects garbage, which takes a second with the objects of all the libraries in sight.
gc.freeze()

VERBS, NOUNS = ("read", "write", "merge", "split"), ("index", "queue", "header", "table", "record", "buffer")


def write_inputs(folder: Path) -> None:
    """Write a corpus of small Python files, every fifth of which is held out, and a tokenizer."""
    texts = [_source(VERBS[i % 4], NOUNS[i % 6], i) for i in range(24)]
    with PartWriter(folder / "corpus" / "files", FILE_COLUMNS) as files:
        for i, text in enumerate(texts):
            origin = {"language": "python", "path": f"{i}.py", "licence": None, "unit": f"unit{i}"}
            files.write({"text": text, **origin})
    units = [f"unit{i}" for i in range(2, len(texts), 5)]
    (folder / "corpus" / "held_out.json").write_text(json.dumps({"units": units}))
    train_tokenizer(texts, vocab_size=320, model_max_length=96).save_pretrained(folder / "tokenizer")


def _source(verb: str, noun: str, number: int) -> str:
    return (
        f"def {verb}_{noun}({noun}, limit={number}):\n"
        f'    """{verb.title()} the {noun} up to a limit."""\n'
        f"    result = [item + {number} for item in {noun} if item < limit]\n"
        f"    return result or {verb}_{noun}({noun}[1:])\n"
    )


def settings(folder: Path, output: str, **changes: Any) -> PretrainConfig:
    """Ten steps of two micro-batches; dropout is on, the learning rate rises and falls, epochs end within steps."""
    common: dict[str, Any] = {
        "corpus": folder / "corpus",
        "tokenizer": folder / "tokenizer",
        "output": folder / output,
        "shards": folder / "shards",
        "preset": "nano",
        "model": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        "max_length": 64,
        "steps": 10,
        "batch_size": 6,
        "device_batch_size": 3,
        "learning_rate": 5e-3,
        "warmup_steps": 4,
        "save_steps": 3,
        "eval_steps": 4,
        "logging_steps": 1,
        "trainer": {"use_cpu": True, "save_total_limit": 10, "disable_tqdm": True},
    }
    return PretrainConfig(**(common | changes))


def curve(output: Path) -> dict[int, dict[str, float]]:
    """Everything in a run's log, by step, that does not depend on the clock."""
    steps: dict[int, dict[str, float]] = {}
    for entry in json.loads((output / "training.json").read_text())["log"]:
        names = ("loss", "grad_norm", "learning_rate", "eval_random_loss", "eval_identifier_loss", "epoch")
        steps.setdefault(entry["step"], {}).update({name: entry[name] for name in names if name in entry})
    return steps


class KillInStep(TrainerCallback):
    """Kills the process between the two micro-batches of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_in_save(step: int) -> None:
    """Kill the process when half of the optimizer's file is written."""
    save = torch.save

    def save_half(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        save(content, path, *args, **kwargs)
        if Path(path).parts[-2:] == (f"checkpoint-{step}", "optimizer.pt"):
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_half


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=Path)
    parser.add_argument("--kill-in-step", type=int)
    parser.add_argument("--kill-in-save", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.kill_in_step:
        transformers.trainer.DEFAULT_CALLBACKS.append(KillInStep(options.kill_in_step))
    if options.kill_in_save:
        kill_in_save(options.kill_in_save)
    job = json.loads(options.settings.read_text())
    main(settings(Path(job["folder"]), job["output"], **job["changes"]))
