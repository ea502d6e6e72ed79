"""A program that fine-tunes tiny models, kills itself and sabotages its resumption: `finetune_run.py RUNS.json`.

RUNS is a list of {"config": fields of FinetuneConfig, "log": file for what the run prints, and optionally
"kill": "save:N", half-way through saving at step N, or "end", after training and before the model is written,
"lose": a part of the state, "copy": [folder, folder] to copy before the run}.
The runs follow each other, each in a process of its own, forked after the slow imports.
"""

import json
import os
import signal
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"


def die(*args, **kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(moment: str) -> None:
    """Arrange for this process to be killed."""
    from open_codesage.train.common import run as run_module
    from transformers import Trainer

    kind, _, step = moment.partition(":")
    if kind == "save":
        save = Trainer._save_optimizer_and_scheduler

        def interrupted(self, output_dir):
            if self.state.global_step == int(step):
                Path(output_dir, "optimizer.pt").write_bytes(b"half an optimizer")
                die()
            save(self, output_dir)

        Trainer._save_optimizer_and_scheduler = interrupted
    else:
        run_module.write_json = die


def lose(part: str) -> None:
    """Resume without a part of the state, to show that a test of resuming would notice."""
    import torch
    from open_codesage.train.stages import trainer
    from transformers import Trainer

    if part == "random state":
        Trainer._load_rng_state = lambda self, checkpoint: None
    elif part == "optimizer":
        load = torch.optim.Optimizer.load_state_dict
        torch.optim.Optimizer.load_state_dict = lambda self, state: load(self, state | {"state": {}})
    elif part == "weights":
        for kind in (Trainer, trainer.SentenceTrainer):
            kind._load_from_checkpoint = lambda self, *args: None
    else:
        raise ValueError(part)


def run(settings: dict) -> None:
    """Fine-tune in this process."""
    from open_codesage.train.stages.configs import FinetuneConfig
    from open_codesage.train.stages.finetune import main

    config = settings["config"]
    if "kill" in settings:
        kill_at(settings["kill"])
    if "lose" in settings:
        lose(settings["lose"])
    main(FinetuneConfig(**config | {"output": Path(config["output"])}))


if __name__ == "__main__":
    import open_codesage.train.stages.finetune_classification
    import open_codesage.train.stages.finetune_retrieval  # noqa: F401  once for all runs
    import torch
    from forked import in_child

    torch.set_num_threads(1)
    runs = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([in_child(run, settings) for settings in runs]))
