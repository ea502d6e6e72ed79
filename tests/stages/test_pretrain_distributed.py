"""Stage I under torchrun: two processes do the work of one.

Dropout is off, since two processes draw it from two generators. What is left to differ is the order of summation: the
gradient of a step is summed over two processes instead of two micro-batches. That is a matter of float32 rounding, a
few 1e-7 of a loss. Adam divides a gradient by its own size, so where a gradient is nearly nothing, rounding decides on
a whole step; its epsilon is raised to 1e-4 here to keep weights comparable.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[1] / "scripts" / "tiny_pretraining.py"
sys.path.append(str(SCRIPT.parent))

from tiny_pretraining import curve, main, settings, write_inputs  # noqa: E402

CHANGES = {
    "batch_size": 4,
    "device_batch_size": 2,
    "model": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "embedding_dropout_prob": 0.0,
        "residual_dropout_prob": 0.0,
        "attention_dropout_prob": 0.0,
    },
    "trainer": {"use_cpu": True, "disable_tqdm": True, "save_total_limit": 3, "adam_epsilon": 1e-4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run by two processes, and the same by one."""
    folder = tmp_path_factory.mktemp("distributed")
    write_inputs(folder)
    (folder / "job.json").write_text(json.dumps({"folder": str(folder), "output": "two", "changes": CHANGES}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with (folder / "two.txt").open("wb") as out, (folder / "two.err").open("wb") as err:
        command += [str(SCRIPT), str(folder / "job.json")]
        two = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    main(settings(folder, "one", **CHANGES))
    torch.set_num_threads(threads)
    assert two.wait() == 0, (folder / "two.err").read_text()[-5000:]
    return folder


def test_losses_are_equal_at_every_step(folder):
    one, two = curve(folder / "one"), curve(folder / "two")
    assert list(one) == list(two) == list(range(1, 11))
    for step in one:
        assert one[step].keys() == two[step].keys()
        for name, value in one[step].items():
            assert two[step][name] == pytest.approx(value, rel=2e-5), (step, name)
    # Steps differ by far more than that, so two processes with the same rows, or with others, would be noticed.
    assert abs(one[1]["loss"] - one[2]["loss"]) > 1e-3


def test_weights_are_close(folder):
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    learning_rate = settings(folder, "one").learning_rate
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=0.01 * learning_rate)


def test_one_process_goes_on_with_the_run_of_two(folder, capsys):
    shutil.copytree(
        folder / "two.run", folder / "fewer.run", ignore=shutil.ignore_patterns("checkpoint-9", "checkpoint-10")
    )
    main(settings(folder, "fewer", **CHANGES))
    assert "2 processes wrote this checkpoint, now there are 1" in capsys.readouterr().out
    one, fewer = curve(folder / "one"), curve(folder / "fewer")
    for step in range(7, 11):
        assert fewer[step]["loss"] == pytest.approx(one[step]["loss"], rel=2e-5)


def test_tokens_of_all_processes_are_counted_once(folder):
    one, two = (json.loads((folder / name / "training.json").read_text()) for name in ("one", "two"))
    assert one["tokens"] == two["tokens"]
    assert one["flops"] == pytest.approx(two["flops"])
    assert (one["devices"], two["devices"]) == (1, 2)


def test_processes_draw_dropout_of_their_own_and_write_one_sealed_checkpoint(folder):
    checkpoint = folder / "two.run" / "checkpoint-10"
    states = [torch.load(checkpoint / f"rng_state_{rank}.pth", weights_only=False)["cpu"] for rank in (0, 1)]
    assert not torch.equal(*states)
    assert {"rng_state_0.pth", "rng_state_1.pth"} < json.loads((checkpoint / "complete.json").read_text()).keys()


def test_one_process_speaks_for_all(folder):
    lines = (folder / "two.txt").read_text().splitlines()
    assert sum(line.startswith("Stage I:") for line in lines) == 2, lines
