"""Fine-tuning killed and started again ends with the very model of a run that was never stopped."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPTS = Path(__file__).parents[1] / "scripts"
RUNS = {"search": ("retrieval", "lora", "random state"), "classes": ("classification", "full", "optimizer")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Do all runs in one program, for the sake of the imports, and return the folder of their outputs.

    Of each task one run is never stopped; one is killed while it saves the checkpoint of its sixth step, after that of
    the third, and started again; and one goes on from there without a part of the state.
    """
    folder = tmp_path_factory.mktemp("resume")
    tiny = runpy.run_path(str(SCRIPTS / "finetune_tiny.py"))
    common = {
        "model": str(tiny["base"](folder / "base", residual_dropout_prob=0.2)),
        "data": str(tiny["write_rows"](folder / "rows.jsonl", tiny["rows"]())),
        "learning_rate": 1e-2,
        "batch_size": 16,
        "steps": 8,
        "eval_steps": 3,
        "trainer": {"save_total_limit": 10},
    }

    def settings(output: str, again: str = "", **more) -> dict:
        config = common | {"output": str(folder / output)} | more.pop("config", {})
        return {"config": config, "log": str(folder / f"{output}{again}.log"), **more}

    plan = []
    for name, (task, method, part) in RUNS.items():
        config = {"config": {"task": task, "method": method}}
        spoilt = {"copy": [str(folder / f"{name} cut.run"), str(folder / f"{name} spoilt.run")], "lose": part}
        plan += [
            settings(name, **config),
            settings(f"{name} cut", kill="save:6", **config),
            settings(f"{name} spoilt", **spoilt, **config),
            settings(f"{name} cut", " again", **config),
        ]
    # Nothing is learnt at this rate, so the first evaluation is the best and training stops early.
    still = {"config": {"task": "classification", "learning_rate": 1e-12, "eval_steps": 1, "patience": 2}}
    plan += [settings("still", kill="end", **still), settings("still", " again", **still)]
    (folder / "runs.json").write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "finetune_run.py"), str(folder / "runs.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    logs = "\n".join(Path(entry["log"]).read_text()[-2000:] for entry in plan)
    assert found == [-signal.SIGKILL if "kill" in entry else 0 for entry in plan], logs
    return folder


def log(output: Path) -> list[tuple]:
    """Losses and metrics of every step, without the times."""
    entries = json.loads((output / "training.json").read_text())["log"]
    kept = ("step", "loss", "eval_loss", "eval_mrr", "eval_macro_f1")
    return [tuple(entry.get(key) for key in kept) for entry in entries if "train_runtime" not in entry]


def equal(one: Path, other: Path) -> bool:
    (before, after) = (load_file(next(folder.glob("*model.safetensors"))) for folder in (one, other))
    assert before.keys() == after.keys()
    return all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", RUNS)
def test_killed_while_saving_it_goes_on_as_if_never_stopped(runs, name):
    said = (runs / f"{name} cut again.log").read_text()
    assert "checkpoint-6: no complete.json" in said
    assert f"resuming from {runs / f'{name} cut.run' / 'checkpoint-3'}" in said
    assert log(runs / f"{name} cut") == log(runs / name)
    assert equal(runs / f"{name} cut", runs / name)


@pytest.mark.parametrize("name", RUNS)
def test_a_lost_part_of_the_state_would_be_noticed(runs, name):
    assert log(runs / f"{name} spoilt") != log(runs / name)
    assert not equal(runs / f"{name} spoilt", runs / name)


def test_killed_after_its_last_step_it_trains_no_more(runs):
    said = (runs / "still again.log").read_text()
    assert "resuming from" in said
    record = json.loads((runs / "still" / "training.json").read_text())
    assert (record["best_step"], record["steps"]) == (1, 3)
    assert "train_runtime" not in said, "it has trained again"
    assert "train_runtime" in (runs / "still.log").read_text()
    weights, best = (
        load_file(folder / "model.safetensors") for folder in (runs / "still", runs / "still.run" / "checkpoint-1")
    )
    assert all(torch.equal(weights[name], best[name]) for name in best)
