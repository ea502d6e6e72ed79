"""A tiny corpus and encoder, and a program that runs Stage II on them, kills it and sabotages its resumption.

    contrast_run.py RUNS.json

RUNS is a list of {"config": fields of ContrastConfig, "log": file for what the run prints, and optionally
"kill": "step:N" or "save:N", "lose": a part of the state, "copy": [folder, folder] to copy before the run}.
The runs follow each other, each in a process of its own, forked after the slow imports.
"""

import dataclasses
import itertools
import json
import os
import random
import signal
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

VERBS = ("parse", "merge", "count", "sort", "print", "hash")
NOUNS = ("header", "matrix", "token", "window", "folder", "socket", "colour", "record")
PLACES = ("file", "queue", "table", "stream", "buffer")


def make_corpus(folder: Path, rows: int = 200, languages: tuple[str, ...] = ("python", "java")) -> Path:
    """Write a corpus whose summaries and functions share words; one unit in six is held out."""
    from open_codesage.train.corpus.corpus import FUNCTION_COLUMNS, PartWriter

    everything = list(itertools.product(VERBS, NOUNS, PLACES))
    random.Random(0).shuffle(everything)
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as writer:
        for number, (verb, noun, place) in enumerate(everything[:rows]):
            language = languages[number % 3 % len(languages)]
            body = f"    {noun} = {place}.read_{noun}()\n    {verb}ed = {verb}({noun})\n"
            writer.write({
                "name": f"{verb}_{noun}",
                "summary": f"{verb} the {noun} of a {place}",
                "documentation": f"{verb} the {noun} of a {place}",
                "code": f"def {verb}_{noun}({place}):\n{body}    return {verb}ed",
                "hard_positive": body,
                "start_line": 1,
                "end_line": 5,
                "language": language,
                "path": f"{number}.txt",
                "licence": "",
                "unit": "held" if number % 6 == 5 else "seen",
            })  # fmt: skip
    (folder / "held_out.json").write_text(json.dumps({"units": ["held"]}))
    return folder


def make_encoder(folder: Path, dropout: float = 0.0) -> Path:
    """Write a model folder as Stage I does: a CodeSageForMaskedLM with new weights, and a tokenizer."""
    import torch
    from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
    from open_codesage.tokenization.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([" ".join((*VERBS, *NOUNS, *PLACES))], 300, 64)
    torch.manual_seed(0)
    config = CodeSageConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        residual_dropout_prob=dropout,
        embedding_dropout_prob=dropout,
        attention_dropout_prob=dropout,
        pad_token_id=tokenizer.pad_token_id,
    )
    CodeSageForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def kill_at(moment: str) -> None:
    """Arrange for this process to be killed after a step, or half-way through saving at a step."""
    from transformers import Trainer, TrainerCallback

    kind, _, step = moment.partition(":")

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if kind == "step" and state.global_step == int(step):
                os.kill(os.getpid(), signal.SIGKILL)

    if kind == "save":
        save = Trainer._save_optimizer_and_scheduler

        def interrupted(self, output_dir):
            if self.state.global_step == int(step):
                Path(output_dir, "optimizer.pt").write_bytes(b"half an optimizer")
                os.kill(os.getpid(), signal.SIGKILL)
            save(self, output_dir)

        Trainer._save_optimizer_and_scheduler = interrupted

    from open_codesage.train.stages import contrast

    made = contrast.BimodalTrainer.__init__

    def init(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.add_callback(Kill())

    contrast.BimodalTrainer.__init__ = init


def lose(part: str) -> None:
    """Resume without a part of the state, to show that a test of resuming would notice."""
    import torch
    from open_codesage.train.stages import contrast
    from open_codesage.train.stages.data import batches
    from transformers import Trainer

    if part == "torch RNG":
        Trainer._load_rng_state = lambda self, checkpoint: None
    elif part == "optimizer":
        load = torch.optim.Optimizer.load_state_dict
        torch.optim.Optimizer.load_state_dict = lambda self, state: load(self, state | {"state": {}})
    elif part == "schedule":
        torch.optim.lr_scheduler.LRScheduler.load_state_dict = lambda self, state: None
        torch.optim.lr_scheduler.LambdaLR.load_state_dict = lambda self, state: None
    elif part == "sampler position":
        arguments = contrast._training_arguments

        def ignoring(config):
            args = arguments(config)
            args.ignore_data_skip = True
            return args

        contrast._training_arguments = ignoring
    elif part == "epoch":
        batches.PairBatchSampler.set_epoch = lambda self, epoch: None
    elif part == "weights":
        contrast.BimodalTrainer._load_from_checkpoint = lambda self, path: None
    else:
        raise ValueError(part)


def run(settings: dict) -> None:
    """Run Stage II in this process."""
    from open_codesage.train.stages.configs import ContrastConfig
    from open_codesage.train.stages.contrast import main

    fields = {field.name: field.type for field in dataclasses.fields(ContrastConfig)}
    config = {key: Path(value) if fields[key] is Path else value for key, value in settings["config"].items()}
    if "kill" in settings:
        kill_at(settings["kill"])
    if "lose" in settings:
        lose(settings["lose"])
    main(ContrastConfig(**config))


if __name__ == "__main__":
    import open_codesage.train.stages.contrast  # noqa: F401  once for all runs
    import torch
    from forked import in_child

    torch.set_num_threads(1)
    runs = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([in_child(run, settings) for settings in runs]))
