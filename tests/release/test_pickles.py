"""Pickled weights become safetensors without any of their code being run."""

import os
import pickle
import runpy
from pathlib import Path

import pytest
import torch
from open_codesage.train.common.model_folder import require_safetensors
from open_codesage.train.release.config import SafetensorsConfig
from open_codesage.train.release.pickles import main
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tiny_encoders.py"))


@pytest.fixture
def pickled(tmp_path):
    return tiny["write_pickled"]("bert", tmp_path / "old", ["def add(a, b): return a + b"])


def test_the_refusal_names_the_command_and_the_command_mends_it(pickled, tmp_path):
    with pytest.raises(ValueError, match=r"pytorch_model.bin is a pickle.*`open-codesage safetensors`"):
        require_safetensors(pickled)
    (pickled / "modeling_old.py").write_text("raise SystemExit\n")
    folder = main(SafetensorsConfig(pickled, tmp_path / "new"))
    require_safetensors(folder)
    expected = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert not {path.suffix for path in folder.iterdir()} & {".bin", ".py"}
    AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True)


def test_shards_become_one_file(pickled, tmp_path):
    weights = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    names = sorted(weights)
    files = {name: f"pytorch_model-{1 + number % 2:05}.bin" for number, name in enumerate(names)}
    for file in set(files.values()):
        torch.save({name: weights[name] for name in names if files[name] == file}, pickled / file)
    (pickled / "pytorch_model.bin").unlink()
    (pickled / "pytorch_model.bin.index.json").write_text(f'{{"weight_map": {files}}}'.replace("'", '"'))
    folder = main(SafetensorsConfig(pickled, tmp_path / "new"))
    assert load_file(folder / "model.safetensors").keys() == weights.keys()
    assert not (folder / "pytorch_model.bin.index.json").exists()


class Trap:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


@pytest.mark.parametrize("content", ["trap", "list", "optimizer", "noise"])
def test_a_pickle_of_something_else_is_refused_and_nothing_of_it_runs(pickled, tmp_path, content):
    file = pickled / "pytorch_model.bin"
    if content == "trap":
        torch.save({"weight": torch.ones(2), "trap": Trap(tmp_path / "sprung")}, file)
        with pytest.raises(pickle.UnpicklingError):
            torch.load(file, weights_only=True)
    elif content == "list":
        torch.save([torch.ones(2)], file)
    elif content == "optimizer":
        torch.save({"model": {"weight": torch.ones(2)}, "step": 3}, file)
    else:
        file.write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"pytorch_model.bin cannot be converted"):
        main(SafetensorsConfig(pickled, tmp_path / "new"))
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_converted_is_said(pickled, tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        main(SafetensorsConfig(tmp_path / "missing", tmp_path / "new"))
    (pickled / "pytorch_model.bin").rename(pickled / "pytorch_model.bin.index.json")
    (pickled / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "../elsewhere.bin"}}')
    with pytest.raises(ValueError, match="not a file beside it"):
        main(SafetensorsConfig(pickled, tmp_path / "new"))
    (pickled / "pytorch_model.bin.index.json").unlink()
    with pytest.raises(ValueError, match="nothing to convert"):
        main(SafetensorsConfig(pickled, tmp_path / "new"))
