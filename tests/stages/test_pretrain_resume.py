"""A killed Stage I run, started again, ends with the same bits as one that was never stopped.

One run is never stopped. Two are killed with SIGKILL: in the middle of step 8, with two loader processes, and while the
checkpoint of step 6 is being written, with none. The first goes on in a fresh interpreter. Further runs go on from the
uninterrupted run's checkpoint of step 6 after something in it was lost, to show that the comparison would notice.
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from open_codesage.train.stages.data.masking import IdentifierMaskingCollator
from open_codesage.train.stages.data.stream import EpochStream
from open_codesage.train.stages.run import seal
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[1] / "scripts" / "tiny_pretraining.py"
sys.path.append(str(SCRIPT.parent))

from tiny_pretraining import curve, kill_in_save, main, settings, write_inputs  # noqa: E402

WHOLE = "whole"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def in_fresh_interpreter(folder: Path, output: str, *options: str, **changes: Any) -> int:
    """Run in an interpreter of its own, with its standard output in `<output>.txt`, and return how it ended."""
    job = folder / f"{output}.json"
    job.write_text(json.dumps({"folder": str(folder), "output": output, "changes": changes}))
    # Files, not pipes: the loader processes of a killed run would keep a pipe open.
    with (folder / f"{output}.txt").open("wb") as out, (folder / f"{output}.err").open("wb") as err:
        return subprocess.call(
            [sys.executable, str(SCRIPT), str(job), *options],
            stdout=out,
            stderr=err,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )


def killed_in_save(folder: Path, output: str, step: int) -> int:
    """Run in a copy of this process that is killed while it saves, and return how it ended."""

    def run() -> None:
        kill_in_save(step)
        main(settings(folder, output))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(timeout=600)
    return process.exitcode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs: the uninterrupted one, and those that were killed and have gone on."""
    folder = tmp_path_factory.mktemp("resume")
    write_inputs(folder)
    main(settings(folder, WHOLE))
    assert in_fresh_interpreter(folder, "in_step", "--kill-in-step", "8", num_workers=2) == -signal.SIGKILL
    assert killed_in_save(folder, "in_save", 6) == -signal.SIGKILL
    for name in ("in_step", "in_save"):
        assert not (folder / name).exists()
        assert {path.name for path in (folder / f"{name}.run").glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-6"}
    assert in_fresh_interpreter(folder, "in_step", num_workers=2) == 0, (folder / "in_step.err").read_text()[-3000:]
    with contextlib.redirect_stdout((folder / "in_save.txt").open("w")):
        main(settings(folder, "in_save"))
    return folder


def assert_equal_runs(one: Path, other: Path) -> None:
    assert curve(one) == curve(other)
    weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(("name", "step"), [("in_step", 6), ("in_save", 3)])
def test_a_killed_run_goes_on_bit_by_bit(folder, name, step):
    assert f"resuming from {folder / f'{name}.run' / f'checkpoint-{step}'}" in (folder / f"{name}.txt").read_text()
    assert_equal_runs(folder / WHOLE, folder / name)
    # What the comparison compares: every step's loss, an epoch's end between the resumption and the last step, dropout.
    steps = curve(folder / WHOLE)
    assert list(steps) == list(range(1, 11)) and all("loss" in entry for entry in steps.values())
    assert int(steps[6]["epoch"]) < int(steps[10]["epoch"])
    config = json.loads((folder / WHOLE / "config.json").read_text())
    assert min(config[f"{kind}_dropout_prob"] for kind in ("residual", "embedding", "attention")) > 0


def test_a_checkpoint_whose_saving_was_cut_off_is_passed_over_and_named(folder):
    out = (folder / "in_save.txt").read_text()
    assert f"passed over {folder / 'in_save.run' / 'checkpoint-6'}" in out and "its saving was cut off" in out


def go_on_from_step_6(folder: Path, name: str, **changes: Any) -> Path:
    """Copy the uninterrupted run up to its checkpoint of step 6, as the beginning of another run."""
    run = folder / f"{name}.run"
    shutil.copytree(folder / f"{WHOLE}.run", run)
    for step in (9, 10):
        shutil.rmtree(run / f"checkpoint-{step}")
    return run / "checkpoint-6"


def lose_weights(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    save_file({name: weight + 1e-6 for name, weight in weights.items()}, checkpoint / "model.safetensors")


def lose_optimizer(checkpoint: Path) -> None:
    content = torch.load(checkpoint / "optimizer.pt")
    for state in content["state"].values():
        state["exp_avg"].zero_()
    torch.save(content, checkpoint / "optimizer.pt")


def lose_schedule(checkpoint: Path) -> None:
    content = torch.load(checkpoint / "scheduler.pt")
    content["last_epoch"] += 1
    torch.save(content, checkpoint / "scheduler.pt")


def lose_dropout(checkpoint: Path) -> None:
    content = torch.load(checkpoint / "rng_state.pth", weights_only=False)
    content["cpu"] = torch.Generator().manual_seed(1).get_state()
    torch.save(content, checkpoint / "rng_state.pth")


LOSSES = {"weights": lose_weights, "optimizer": lose_optimizer, "schedule": lose_schedule, "dropout": lose_dropout}


def test_a_copied_checkpoint_goes_on_bit_by_bit(folder):
    seal(go_on_from_step_6(folder, "copy"))
    main(settings(folder, "copy"))
    assert_equal_runs(folder / WHOLE, folder / "copy")


@pytest.mark.parametrize("what", [*LOSSES, "place", "masks"])
def test_the_comparison_notices_what_is_lost(folder, what, monkeypatch):
    checkpoint = go_on_from_step_6(folder, what)
    if what == "place":
        take = EpochStream.__getitems__
        monkeypatch.setattr(
            EpochStream, "__getitems__", lambda self, places: take(self, [(p + 1) % len(self) for p in places])
        )
    elif what == "masks":
        mask = IdentifierMaskingCollator.__call__
        monkeypatch.setattr(
            IdentifierMaskingCollator,
            "__call__",
            lambda self, rows: mask(self, [{**row, "epoch": row["epoch"] + 1} for row in rows]),
        )
    else:
        LOSSES[what](checkpoint)
    seal(checkpoint)
    main(settings(folder, what))
    whole, lossy = curve(folder / WHOLE), curve(folder / what)
    assert [whole[step] for step in range(1, 7)] == [lossy[step] for step in range(1, 7)]
    assert any(whole[step]["loss"] != lossy[step]["loss"] for step in range(7, 11))
    one, other = (load_file(folder / name / "model.safetensors") for name in (WHOLE, what))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_with_a_missing_file_is_passed_over(folder, file, capsys):
    name = f"without_{file}"
    (go_on_from_step_6(folder, name) / file).unlink()
    main(settings(folder, name))
    out = capsys.readouterr().out
    assert "passed over" in out and f"{file} is missing" in out and "checkpoint-3\n" in out
    assert_equal_runs(folder / WHOLE, folder / name)


def test_evaluating_and_saving_at_other_times_changes_nothing(folder):
    seal(go_on_from_step_6(folder, "other_times"))
    main(settings(folder, "other_times", eval_steps=1, save_steps=100))
    one, other = (load_file(folder / name / "model.safetensors") for name in (WHOLE, "other_times"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    # The Trainer alone would keep the intervals of the checkpoint.
    steps = curve(folder / "other_times")
    assert [step for step in steps if "eval_random_loss" in steps[step]] == [4, 7, 8, 9, 10]
    saved = {path.name for path in (folder / "other_times.run").glob("checkpoint-*")}
    assert saved == {"checkpoint-3", "checkpoint-6", "checkpoint-10"}


def test_the_mean_losses_of_a_sparse_log_are_those_of_an_uninterrupted_run(folder):
    main(settings(folder, "sparse", logging_steps=4))
    seal(go_on_from_step_6(folder, "sparse_resumed"))
    main(settings(folder, "sparse_resumed", logging_steps=4))
    sparse, resumed = curve(folder / "sparse"), curve(folder / "sparse_resumed")
    assert [step for step in sparse if "loss" in sparse[step]] == [3, 4, 6, 8, 9, 10]
    assert all(sparse[step] == resumed[step] for step in (8, 9, 10))


def test_a_run_that_was_killed_before_it_wrote_its_model_has_only_that_to_do(folder):
    shutil.copytree(folder / f"{WHOLE}.run", folder / "trained.run")
    main(settings(folder, "trained"))
    assert_equal_runs(folder / WHOLE, folder / "trained")
    assert len(list((folder / "trained.run").glob("checkpoint-*"))) == 4


def test_other_settings_are_not_gone_on_with(folder):
    go_on_from_step_6(folder, "changed")
    with pytest.raises(ValueError, match=r"learning_rate was 0\.005, is 0\.01.*delete that folder"):
        main(settings(folder, "changed", learning_rate=0.01))
    assert not (folder / "changed").exists()


def test_a_finished_run_is_not_run_again(folder, capsys):
    before = (folder / WHOLE / "training.json").stat().st_mtime_ns
    assert main(settings(folder, WHOLE)) == folder / WHOLE
    assert "finished already" in capsys.readouterr().out
    assert (folder / WHOLE / "training.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="seed was 0, is 1"):
        main(settings(folder, WHOLE, seed=1))
