"""Which checkpoint a run goes on from, and what it refuses to go on from."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from open_codesage.train.common.fingerprint import digest
from open_codesage.train.common.model_folder import require_safetensors
from open_codesage.train.common.output import run_folder
from open_codesage.train.stages.run import SEAL, begin_run, damage, newest_checkpoint, seal
from safetensors.torch import save_file

SETTINGS = {"seed": 0, "learning_rate": 1e-3, "model": {"hidden_size": 32}, "languages": ["python"]}


def checkpoint(folder: Path, step: int) -> Path:
    """Write files with the names of a Trainer's checkpoint, and seal them."""
    path = folder / f"checkpoint-{step}"
    (path / "1_Pooling").mkdir(parents=True)
    save_file({"weight": torch.full((100,), float(step))}, path / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"step": torch.full((100,), step)}, path / name)
    (path / "1_Pooling" / "config.json").write_text("{}")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    seal(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    begin_run(tmp_path / "model.run", SETTINGS, resume=True)
    for step in (5, 10, 100):
        checkpoint(tmp_path / "model.run", step)
    return tmp_path / "model.run"


def test_the_newest_is_the_one_with_the_most_steps(folder):
    os.utime(folder / "checkpoint-5")
    assert newest_checkpoint(folder) == (folder / "checkpoint-100", {})
    assert begin_run(folder, SETTINGS, resume=True) == folder / "checkpoint-100"


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "1_Pooling/config.json",
        SEAL,
    ],
)
@pytest.mark.parametrize("harm", ["missing", "cut short", "empty"])
def test_a_damaged_checkpoint_is_passed_over_and_named(folder, capsys, name, harm):
    file = folder / "checkpoint-100" / name
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: -1 if harm == "cut short" else 0])
    assert begin_run(folder, SETTINGS, resume=True) == folder / "checkpoint-10"
    out = capsys.readouterr().out
    assert "passed over" in out and "checkpoint-100" in out and name in out and "checkpoint-10\n" in out
    assert (folder / "checkpoint-100").is_dir()


def test_a_damaged_checkpoint_that_is_being_saved_again_is_not_trusted_because_of_its_old_seal(folder):
    file = folder / "checkpoint-100" / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:50])
    begin_run(folder, SETTINGS, resume=True)
    file.write_bytes(whole)
    assert damage(folder / "checkpoint-100") is not None
    seal(folder / "checkpoint-100")
    assert damage(folder / "checkpoint-100") is None


def test_without_any_complete_checkpoint_a_run_begins(folder, capsys):
    for path in folder.glob("checkpoint-*"):
        (path / "trainer_state.json").unlink()
    assert begin_run(folder, SETTINGS, resume=True) is None
    assert capsys.readouterr().out.count("trainer_state.json is missing") == 3


def test_other_folders_are_no_checkpoints(folder):
    shutil.copytree(folder / "checkpoint-100", folder / "checkpoint-200-copy")
    (folder / "checkpoint-300").write_text("a file")
    assert newest_checkpoint(folder) == (folder / "checkpoint-100", {})


def test_other_settings_are_refused_with_the_names_of_what_differs(folder):
    changed = {**SETTINGS, "seed": 1, "model": {"hidden_size": 64, "num_hidden_layers": 3}}
    with pytest.raises(ValueError) as error:
        begin_run(folder, changed, resume=True)
    message = str(error.value)
    assert "seed was 0, is 1" in message
    assert "model.hidden_size was 32, is 64" in message and "model.num_hidden_layers was None, is 3" in message
    assert "learning_rate" not in message and "languages" not in message
    assert "delete that folder" in message and str(folder) in message
    # The refused start has left no trace.
    assert begin_run(folder, SETTINGS, resume=True) == folder / "checkpoint-100"


def test_settings_count_as_they_look_in_json(folder):
    assert begin_run(folder, {**SETTINGS, "languages": ("python",)}, resume=True) == folder / "checkpoint-100"


def test_other_settings_are_free_before_the_first_checkpoint(tmp_path):
    assert begin_run(tmp_path / "run", SETTINGS, resume=True) is None
    assert begin_run(tmp_path / "run", {**SETTINGS, "seed": 1}, resume=True) is None
    checkpoint(tmp_path / "run", 5)
    with pytest.raises(ValueError, match="seed was 1, is 0"):
        begin_run(tmp_path / "run", SETTINGS, resume=True)


def test_checkpoints_of_unknown_origin_are_refused(folder):
    (folder / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"settings\.json is missing.* delete"):
        begin_run(folder, SETTINGS, resume=True)


def test_without_resume_checkpoints_are_not_overwritten(folder):
    with pytest.raises(ValueError, match="holds checkpoints"):
        begin_run(folder, SETTINGS, resume=False)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "model.ckpt", "model.pkl"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_pickled_weights_are_refused_unread_with_the_way_to_convert_them(tmp_path, name, as_folder):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=rf"{name} is a pickle.*`open-codesage convert`"):
        require_safetensors(tmp_path if as_folder else tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_safetensors_are_taken_even_beside_pickles(tmp_path):
    (tmp_path / "training_args.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="safetensors"):
        require_safetensors(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    require_safetensors(tmp_path)


@pytest.mark.parametrize("name", ["nothing-here", "."])
def test_a_folder_without_weights_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="safetensors"):
        require_safetensors(tmp_path / name)


def test_a_digest_tells_contents_apart_and_nothing_else(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (digest(tmp_path / name) for name in "abc")
    assert one == same != other
    assert digest(tmp_path / "a", tmp_path / "c") != digest(tmp_path / "c", tmp_path / "a")


def test_the_run_lies_beside_its_output(tmp_path):
    assert run_folder(tmp_path / "v1.0") == tmp_path / "v1.0.run"
