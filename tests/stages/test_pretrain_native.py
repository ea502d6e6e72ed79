"""Stage I of an encoder that others have made, by the command."""

import importlib.util
import json
import runpy
from pathlib import Path

import pytest
import torch
from open_codesage.train.stages import PretrainConfig
from open_codesage.train.stages.pretrain import main
from open_codesage.train.stages.pretrain_native import masked_lm_loss
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
from transformers.modeling_outputs import MaskedLMOutput

SCRIPTS = Path(__file__).parents[1] / "scripts"
encoders = runpy.run_path(str(SCRIPTS / "tiny_encoders.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    spec = importlib.util.spec_from_file_location("tiny_pretraining", SCRIPTS / "tiny_pretraining.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write_inputs(folder)
    encoders["write"]("bert", folder / "bert", [Path(__file__).read_text(encoding="utf-8")])
    return folder


def config(folder, output, source="bert", **more):
    settings = {
        "steps": 4,
        "batch_size": 8,
        "device_batch_size": 4,
        "learning_rate": 1e-2,
        "max_length": 40,
        "save_steps": 2,
        "trainer": {"disable_tqdm": True, "use_cpu": True},
    }
    paths = {"corpus": folder / "corpus", "tokenizer": folder / source, "init_from": folder / source}
    return PretrainConfig(output=folder / output, **paths | settings | more)


def test_a_bert_learns_and_is_resumed_to_the_bit(folder):
    trained = main(config(folder, "trained"))
    record = json.loads((trained / "training.json").read_text())
    logged = {key for entry in record["log"] for key in entry}
    assert {"eval_random_loss", "eval_identifier_loss"} <= logged
    assert record["steps"] == 4
    model, info = AutoModelForMaskedLM.from_pretrained(trained, output_loading_info=True)
    assert not info["missing_keys"]
    assert model.config.model_type == "bert"
    assert AutoTokenizer.from_pretrained(trained).model_max_length == encoders["LENGTH"]
    before, after = (load_file(folder / name / "model.safetensors") for name in ("bert", "trained"))
    assert not torch.equal(
        before["bert.encoder.layer.0.output.dense.weight"], after["bert.encoder.layer.0.output.dense.weight"]
    )
    # The same run, of which only the checkpoint in the middle is left.
    again = config(folder, "again")
    (folder / "trained.run").rename(folder / "again.run")
    for file in (folder / "again.run" / "checkpoint-4").iterdir():
        file.unlink()
    assert all(
        torch.equal(after[name], tensor) for name, tensor in load_file(main(again) / "model.safetensors").items()
    )


def test_a_head_that_is_missing_is_announced_and_can_be_trained_alone(folder, capsys):
    AutoModel.from_pretrained(folder / "bert").save_pretrained(folder / "headless")
    AutoTokenizer.from_pretrained(folder / "bert").save_pretrained(folder / "headless")
    main(config(folder, "headed", source="headless", head_only=True))
    assert "has no head for masked tokens" in capsys.readouterr().out
    before, after = (load_file(folder / name / "model.safetensors") for name in ("headless", "headed"))
    encoder = [name for name in after if name.startswith("bert.encoder")]
    assert encoder
    assert all(torch.equal(before[name.removeprefix("bert.")], after[name]) for name in encoder)
    assert after["cls.predictions.bias"].abs().sum() > 0


def test_what_does_not_fit_is_refused(folder):
    for options, message in (
        ({"max_length": 49}, "max_length 49 is over the 48 tokens"),
        ({"model": {"hidden_size": 8}}, "keeps those of its config.json"),
        ({"tokenizer": folder / "bert", "head_only": True, "init_from": None, "preset": "nano"}, "give init_from"),
    ):
        with pytest.raises(ValueError, match=message):
            main(config(folder, "refused", **options))


def test_the_loss_of_parts_adds_up_to_that_of_the_step():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 6, 9), torch.randint(0, 9, (4, 6))
    labels[torch.rand(4, 6) < 0.5] = -100
    items = (labels != -100).sum()
    parts = [masked_lm_loss(MaskedLMOutput(logits=logits[p]), labels[p], items) for p in (slice(0, 1), slice(1, 4))]
    whole = cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(sum(parts), whole)
    assert torch.allclose(masked_lm_loss(MaskedLMOutput(logits=logits), labels), whole)
