"""Stage II killed and started again ends with the very losses and weights of a run that was never stopped."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[1] / "scripts" / "contrast_run.py"
LOST = ("weights", "optimizer", "schedule", "torch RNG", "sampler position", "epoch")
STEPS_IN_EPOCH = 5
BOUNDARY = "killed after the last step of an epoch was saved"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Do all runs in one program, for the sake of the imports, and return the folder of their outputs."""
    folder = tmp_path_factory.mktemp("resume")
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPT)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    common = {
        "corpus": str(tiny.make_corpus(folder / "corpus")),
        "model": str(tiny.make_encoder(folder / "encoder", dropout=0.2)),
        "steps": 13,
        "batch_size": 32,
        "mini_batch_size": 8,
        "learning_rate": 1e-2,
        "warmup_steps": 3,
        "hard_positive_share": 0.5,
        "token_dropout": 0.1,
        "share_spellings": True,
        "text_max_length": 24,
        "code_max_length": 48,
        "save_steps": 4,
        "eval_steps": 6,
        "logging_steps": 3,
        "trainer": {"save_total_limit": 10},
    }

    def settings(output: str, **more) -> dict:
        config = common | {"output": str(folder / output)} | more.pop("config", {})
        return {"config": config, "log": str(folder / f"{output}.log"), **more}

    def copied(output: str, source: str, **more) -> dict:
        """Go on, without a part of the state, from what a killed run left."""
        return settings(output, copy=[str(folder / f"{source}.run"), str(folder / f"{output}.run")], **more)

    every_five = {"config": {"save_steps": 5}}
    plan = [
        settings("whole"),
        settings("killed", kill="step:11"),
        *[copied(f"without {part}", "killed", lose=part) for part in LOST],
        settings("killed") | {"log": str(folder / "resumed.log")},
        settings("cut", kill="save:8"),
        settings("cut") | {"log": str(folder / "mended.log")},
        settings("boundary", kill="step:7", **every_five),
        settings("boundary", **every_five) | {"log": str(folder / "boundary again.log")},
    ]
    (folder / "runs.json").write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder / "runs.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = [-signal.SIGKILL if "kill" in entry else 0 for entry in plan]
    found = json.loads(done.stdout.splitlines()[-1])
    logs = "\n".join(Path(entry["log"]).read_text()[-2000:] for entry in plan)
    assert found == expected, logs
    return folder


def losses(output: Path) -> dict[int, float]:
    log = json.loads((output / "training.json").read_text())["log"]
    return {entry["step"]: entry["loss"] for entry in log if "loss" in entry}


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    before, after = weights(one), weights(other)
    assert before.keys() == after.keys()
    return all(torch.equal(before[name], after[name]) for name in before)


def test_the_run_is_one_that_resuming_could_spoil(runs):
    record = json.loads((runs / "whole" / "training.json").read_text())
    assert record["pairs_per_epoch"] == STEPS_IN_EPOCH * 32
    assert record["steps"] == 13
    # It was killed in the middle of the third epoch, after a checkpoint in the middle of the second.
    assert not any(equal(runs / "whole", runs / f"without {part}") for part in LOST)


def test_killed_and_resumed_is_never_stopped(runs):
    assert "resuming from" in (runs / "resumed.log").read_text()
    assert "checkpoint-8" in (runs / "resumed.log").read_text()
    later = {step: loss for step, loss in losses(runs / "whole").items() if step > 8}
    assert {step: loss for step, loss in losses(runs / "killed").items() if step > 8} == later
    assert later
    assert losses(runs / "killed") == losses(runs / "whole")
    assert equal(runs / "whole", runs / "killed")


@pytest.mark.parametrize("part", LOST)
def test_a_lost_part_of_the_state_would_be_noticed(runs, part):
    whole, spoilt = losses(runs / "whole"), losses(runs / f"without {part}")
    assert any(whole[step] != spoilt[step] for step in whole if step > 8)
    assert not equal(runs / "whole", runs / f"without {part}")


def test_killed_while_saving_it_resumes_from_the_newest_complete_checkpoint(runs):
    said = (runs / "mended.log").read_text()
    assert "passed over" in said
    assert "checkpoint-8: no complete.json" in said
    assert f"resuming from {runs / 'cut.run' / 'checkpoint-4'}" in said
    assert losses(runs / "cut") == losses(runs / "whole")
    assert equal(runs / "whole", runs / "cut")


def test_resumed_at_the_end_of_an_epoch(runs):
    assert "checkpoint-5" in (runs / "boundary again.log").read_text()
    assert equal(runs / "whole", runs / "boundary")


def test_a_resumed_run_writes_the_same_bytes(runs):
    """Of everything but the record, which has the times; and nothing of the latest call is in the tokenizer."""
    whole, killed = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in (runs / "whole", runs / "killed")
    )
    assert whole.keys() == killed.keys()
    assert [name for name in whole if whole[name] != killed[name]] == [Path("training.json")]
    tokenizer = json.loads(whole[Path("tokenizer.json")])
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)
    settings = json.loads(whole[Path("tokenizer_config.json")])
    assert not {"max_length", "stride", "truncation_strategy"} & settings.keys()
