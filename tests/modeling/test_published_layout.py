"""Published weights load unchanged, give the published outputs and are saved again bit by bit."""

import json
import shutil

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM, CodeSageForSequenceClassification, CodeSageModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

TOLERANCE = 1e-5


@pytest.fixture(params=["", "transformer."], ids=["bare", "prefixed"])
def checkpoint(request, golden_folder, tmp_path):
    """The golden folder, its keys as they are or with the prefix of a model with a head."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    shutil.copy(golden_folder / "config.json", folder)
    weights = load_file(golden_folder / "model.safetensors")
    weights = {request.param + name: tensor for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def expected(golden_folder):
    return load_file(golden_folder / "expected.safetensors")


def load(cls, folder, **kwargs):
    model, report = cls.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **kwargs)
    assert not (report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"])
    return model.eval()


def difference(ours, theirs):
    return (ours - theirs).abs().max().item()


@torch.no_grad()
def test_encoder_computes_what_the_published_code_computes(checkpoint, expected, implementation):
    model = load(CodeSageModel, checkpoint, attn_implementation=implementation)
    output = model(expected["input_ids"], expected["attention_mask"], output_hidden_states=True)
    kept = expected["attention_mask"].bool()
    assert len(output.hidden_states) == model.config.num_hidden_layers + 1
    for index, states in enumerate(output.hidden_states):
        assert difference(states[kept], expected[f"hidden_states.{index}"][kept]) < TOLERANCE
    assert difference(output.last_hidden_state[kept], expected["last_hidden_state"][kept]) < TOLERANCE
    assert difference(output.pooler_output, expected["pooler_output"]) < TOLERANCE
    # Not vacuous: what the comparison leaves out differs, and a wrong mask would be noticed.
    assert difference(output.last_hidden_state, expected["last_hidden_state"]) > TOLERANCE
    assert difference(model(expected["input_ids"]).pooler_output, expected["pooler_output"]) > TOLERANCE


@torch.no_grad()
def test_head_computes_what_the_published_code_computes(checkpoint, expected, implementation):
    model = load(CodeSageForMaskedLM, checkpoint, attn_implementation=implementation)
    inputs, kept = (expected["input_ids"], expected["attention_mask"]), expected["attention_mask"].bool()
    assert difference(model(*inputs).logits[kept], expected["mlm_logits"][kept]) < TOLERANCE
    with_labels = model(*inputs, labels=expected["labels"])
    assert difference(with_labels.loss, expected["mlm_loss"]) < TOLERANCE
    labelled = expected["labels"] != -100
    assert difference(with_labels.logits[labelled], expected["mlm_logits"][labelled]) < TOLERANCE
    few = model(*inputs, labels=expected["labels"], sparse_logits=True)
    assert difference(few.logits, expected["mlm_logits"][labelled]) < TOLERANCE
    assert difference(few.loss, expected["mlm_loss"]) < TOLERANCE


@pytest.mark.parametrize(("cls", "prefix"), [(CodeSageModel, ""), (CodeSageForMaskedLM, "transformer.")])
def test_saved_again_keys_and_values_are_the_original_ones(cls, prefix, checkpoint, golden_folder, tmp_path):
    load(cls, checkpoint).save_pretrained(tmp_path / "saved")
    original = load_file(golden_folder / "model.safetensors")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == {prefix + name for name in original}
    assert all(torch.equal(saved[prefix + name], tensor) for name, tensor in original.items())
    assert not list((tmp_path / "saved").glob("*.bin"))


@pytest.mark.parametrize(
    ("auto", "cls"),
    [
        (AutoModel, CodeSageModel),
        (AutoModelForMaskedLM, CodeSageForMaskedLM),
        (AutoModelForSequenceClassification, CodeSageForSequenceClassification),
    ],
)
def test_auto_classes_know_the_model_without_remote_code(auto, cls, golden_folder, tmp_path):
    assert type(AutoConfig.from_pretrained(golden_folder)) is CodeSageConfig
    assert type(auto.from_pretrained(golden_folder)) is cls
    # Also where the folder offers its own code: what is installed is taken, and nobody is asked to trust anything.
    cls.from_pretrained(golden_folder).save_pretrained(tmp_path)
    assert auto.__name__ in json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert type(auto.from_pretrained(tmp_path)) is cls


def test_save_and_load_give_the_same_embeddings_in_each_dtype(golden_folder, expected, tmp_path):
    for dtype in (torch.float32, torch.bfloat16):
        model = CodeSageModel.from_pretrained(golden_folder, dtype=dtype).eval()
        model.save_pretrained(tmp_path / str(dtype))
        again = CodeSageModel.from_pretrained(tmp_path / str(dtype)).eval()
        assert again.dtype == dtype
        inputs = expected["input_ids"], expected["attention_mask"]
        assert torch.equal(model(*inputs).pooler_output, again(*inputs).pooler_output)
