"""Stage II on two processes learns what it learns on one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Train on one process, here, and on two under torchrun, there also from a checkpoint."""
    folder = tmp_path_factory.mktemp("distributed")
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPTS / "contrast_run.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    config = {
        "corpus": str(tiny.make_corpus(folder / "corpus")),
        "model": str(tiny.make_encoder(folder / "encoder")),
        "steps": 8,
        "batch_size": 32,
        "mini_batch_size": 4,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "text_max_length": 24,
        "code_max_length": 48,
        "save_steps": 6,
        "logging_steps": 1,
    }
    tiny.run({"config": config | {"output": str(folder / "one")}})
    runs = {name: config | {"output": str(folder / name)} for name in ("first", "again")} | {"from": 6}
    (folder / "runs.json").write_text(json.dumps(runs))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
         "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
         str(SCRIPTS / "contrast_distributed.py"), str(folder / "runs.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    (folder / "output.txt").write_text(done.stdout)
    return folder


def record(output: Path) -> dict:
    return json.loads((output / "training.json").read_text())


def losses(output: Path) -> list[float]:
    return [entry["loss"] for entry in record(output)["log"] if "loss" in entry]


def test_two_processes_have_the_losses_and_weights_of_one(folder):
    one, two = record(folder / "one"), record(folder / "first")
    assert (one["devices"], two["devices"]) == (1, 2)
    assert two["tokens"] == one["tokens"]
    assert two["flops"] == one["flops"]
    torch.testing.assert_close(losses(folder / "first"), losses(folder / "one"), rtol=1e-5, atol=1e-6)
    before, alone, together = (load_file(folder / name / "model.safetensors") for name in ("encoder", "one", "first"))
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-3, atol=2e-5)
    learnt = max((alone[name] - before[f"transformer.{name}"]).abs().max() for name in alone)
    assert learnt > 100 * 2e-5, "the comparison would not notice other gradients"


def test_two_processes_resume_in_the_middle_of_an_epoch(folder):
    assert "checkpoint-6" in (folder / "output.txt").read_text()
    assert losses(folder / "again") == losses(folder / "first")
    first, again = (load_file(folder / name / "model.safetensors") for name in ("first", "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    # In the second epoch of five steps, where the epoch decides which pairs come.
    assert record(folder / "first")["pairs_per_epoch"] == 5 * 32


def test_one_process_speaks(folder):
    assert (folder / "output.txt").read_text().count("Stage II: 8 steps") == 2  # of two runs on two processes
