"""Training by the clock, and leaving when told to: what is learnt when, what is saved, and what resumes from where."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from open_codesage.train.stages.callbacks import preemption
from open_codesage.train.stages.callbacks.clock import DECAY, Clock, other_budget
from open_codesage.train.stages.callbacks.throughput import Throughput
from open_codesage.train.stages.run import newest_checkpoint
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from tiny_pretraining import curve, main, settings, write_inputs

RATE = 5e-3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clock")
    write_inputs(folder)
    return folder


@pytest.fixture(autouse=True)
def a_second_for_each_step(monkeypatch):
    """Every step takes a second, whatever it takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def count(self, *args, **kwargs):
        self.seconds += 1

    monkeypatch.setattr(Throughput, "on_step_end", count)
    yield
    torch.set_num_threads(threads)


def by_the_clock(folder, output, seconds, **changes):
    common = {"steps": None, "max_minutes": seconds / 60, "decay_share": 0.4, "warmup_steps": 2, "save_steps": 100}
    return settings(folder, output, **(common | {"eval_steps": None} | changes))


def rates(folder, output):
    return {step: entry["learning_rate"] for step, entry in curve(folder / output).items() if "learning_rate" in entry}


@pytest.mark.parametrize(
    ("spent", "step", "warmup", "factor"),
    [(0.0, 0, 4, 0.25), (0.1, 3, 4, 1.0), (0.05, 7, 0.1, 0.5), (0.5, 9, 0, 1.0), (0.9, 99, 4, 0.5), (1.1, 100, 4, 0.0)],
)
def test_the_learning_rate_follows_the_share_of_the_budget(spent, step, warmup, factor):
    throughput = Throughput(1.0)
    throughput.seconds = spent * 50
    assert Clock(50, 0.2, warmup, throughput).factor(step) == pytest.approx(factor)


def test_a_run_ends_in_time_with_a_trapezoid_and_an_evaluation(inputs):
    main(by_the_clock(inputs, "ten", 10))
    record = json.loads((inputs / "ten" / "training.json").read_text())
    # A further step of a second would end with the tenth second, not within it.
    assert record["steps"] == 9
    assert rates(inputs, "ten") == pytest.approx(
        {1: RATE / 2, **dict.fromkeys(range(2, 7), RATE), 7: RATE * 0.75, 8: RATE * 0.5, 9: RATE * 0.25}, abs=1e-9
    )
    assert any(entry["step"] == 9 and "eval_random_loss" in entry for entry in record["log"])
    saved = {path.name: (path / DECAY).exists() for path in (inputs / "ten.run").glob("checkpoint-*")}
    assert saved == {"checkpoint-6": False, "checkpoint-9": True}


def test_the_weights_saved_before_the_decay_are_those_of_a_constant_rate(inputs):
    """The optimizer really takes the rate: with a longer budget the same steps give the same weights."""
    main(by_the_clock(inputs, "short", 10))
    main(by_the_clock(inputs, "long", 16, save_steps=6))
    short, long = (
        load_file(inputs / f"{name}.run" / "checkpoint-6" / "model.safetensors") for name in ("short", "long")
    )
    assert all(torch.equal(short[name], long[name]) for name in short)
    ends = [load_file(inputs / name / "model.safetensors") for name in ("short", "long")]
    assert not all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_more_minutes_resume_from_before_the_decay(inputs, capsys):
    main(by_the_clock(inputs, "grows", 10))
    with pytest.raises(ValueError, match=r"max_minutes was .*delete that folder"):
        main(by_the_clock(inputs, "grows", 20))
    (inputs / "grows").rename(inputs / "earlier")
    capsys.readouterr()
    main(by_the_clock(inputs, "grows", 20))
    said = capsys.readouterr().out
    assert "checkpoint-9: its learning rate has fallen for a budget" in said
    assert f"resuming from {inputs / 'grows.run' / 'checkpoint-6'}" in said
    after = rates(inputs, "grows")
    assert max(after) == 19
    assert after[8] == after[12] == RATE > after[14] > after[19] > 0


def test_an_interrupted_decay_resumes_where_it_was(inputs, capsys):
    main(by_the_clock(inputs, "whole", 10))
    newest, _ = newest_checkpoint(inputs / "whole.run", 10.0)
    assert newest == inputs / "whole.run" / "checkpoint-9"
    newest, passed_over = newest_checkpoint(inputs / "whole.run", 30.0)
    assert newest == inputs / "whole.run" / "checkpoint-6"
    assert list(passed_over) == [inputs / "whole.run" / "checkpoint-9"]
    assert other_budget(newest, 30.0) is None


@pytest.mark.parametrize("number", preemption.SIGNALS)
def test_a_signal_saves_and_leaves_and_the_command_resumes(inputs, capsys, monkeypatch, number):
    output = f"preempted {int(number)}"
    before = signal.getsignal(number)
    count = Throughput.on_step_end

    def told_in_step_four(self, args, state, control, **kwargs):
        count(self)
        if state.global_step == 4:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_step_end", told_in_step_four)
        with pytest.raises(SystemExit) as left:
            main(settings(inputs, output, save_steps=100))
    assert left.value.code == 128 + number
    assert f"{signal.Signals(number).name}: a checkpoint is saved" in capsys.readouterr().out
    assert not (inputs / output).exists()
    assert signal.getsignal(number) == before
    main(settings(inputs, output, save_steps=100))
    assert f"resuming from {inputs / f'{output}.run' / 'checkpoint-4'}" in capsys.readouterr().out
    if not (inputs / "undisturbed").exists():
        main(settings(inputs, "undisturbed", save_steps=100))
    assert curve(inputs / output)[10] == curve(inputs / "undisturbed")[10]
