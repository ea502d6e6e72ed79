"""The configuration: presets of the paper's sizes, unknown keys kept, impossible values refused."""

import json

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel


def parameters(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in CodeSageModel(config).parameters())


@pytest.mark.parametrize(("name", "count"), [("small", 128_010_240), ("base", 354_742_272), ("large", 1_313_464_320)])
def test_presets_have_the_size_of_the_published_checkpoints(name, count):
    assert parameters(CodeSageConfig.from_preset(name)) == count


def test_nano_is_small_and_its_special_ids_fit_its_vocabulary():
    config = CodeSageConfig.from_preset("nano")
    assert parameters(config) <= 33_000_000
    assert max(config.pad_token_id, config.eos_token_id, config.bos_token_id) < config.vocab_size


def test_default_is_small():
    assert CodeSageConfig().to_dict() == CodeSageConfig.from_preset("small").to_dict()


def test_preset_takes_overrides_and_refuses_unknown_names():
    config = CodeSageConfig.from_preset("nano", vocab_size=8192, num_hidden_layers=2)
    assert (config.vocab_size, config.num_hidden_layers, config.hidden_size) == (8192, 2, 384)
    with pytest.raises(ValueError, match="no preset named 'tiny'; the presets are nano, small, base, large"):
        CodeSageConfig.from_preset("tiny")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 100, "num_attention_heads": 8}, r"hidden_size \(100\) must be a multiple"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a whole number of at least 0"),
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number"),
        ({"vocab_size": "many"}, "vocab_size must be a whole number"),
        ({"max_position_embeddings": 10.5}, "max_position_embeddings must be a whole number"),
        ({"intermediate_size": True}, "intermediate_size must be a whole number"),
        ({"attention_dropout_prob": 1.5}, "attention_dropout_prob must be at least 0 and below 1"),
        ({"residual_dropout_prob": None}, "residual_dropout_prob must be at least 0"),
        ({"classifier_dropout": -0.1}, "classifier_dropout must be at least 0"),
        ({"position_embedding_type": "rotary"}, 'position_embedding_type must be "absolute"'),
    ],
)
def test_impossible_values_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        CodeSageConfig(**values)


def test_unknown_activation_is_refused(config):
    config.activation_function = "nonsense"
    with pytest.raises(ValueError, match="no activation named 'nonsense'"):
        CodeSageModel(config)


def test_unknown_keys_survive_a_round_trip(config, golden_folder, tmp_path):
    loaded = CodeSageConfig.from_pretrained(golden_folder)
    loaded.save_pretrained(tmp_path)
    published, saved = (json.loads((folder / "config.json").read_text()) for folder in (golden_folder, tmp_path))
    assert "_comment" in published
    assert {key: saved[key] for key in published} == published


@torch.no_grad()
def test_without_final_layer_norm_a_bag_of_tokens_weighs_its_tokens_by_their_lengths(config, tmp_path):
    ids = torch.tensor([[5, 6, 7]])
    normed = CodeSageModel(CodeSageConfig(**(config.to_dict() | {"num_hidden_layers": 0}))).eval()
    # Not vacuous: a layer norm gives all tokens the same length, whatever their embeddings have.
    normed.wte.weight[5] *= 9
    lengths = normed(ids).last_hidden_state[0].norm(dim=-1)
    assert torch.allclose(lengths, lengths[:1].expand(3), rtol=1e-3)

    bag = CodeSageModel(
        CodeSageConfig(**(config.to_dict() | {"num_hidden_layers": 0, "final_layer_norm": False}))
    ).eval()
    expected = (bag.wte.weight[ids[0]] + bag.wpe.weight[:3]).mean(dim=0)
    assert torch.allclose(bag(ids).pooler_output[0], expected, atol=1e-6)
    bag.save_pretrained(tmp_path)
    loaded, report = CodeSageModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not (report["missing_keys"] or report["unexpected_keys"])
    assert not [name for name in loaded.state_dict() if name.startswith("ln_f")]
    assert torch.equal(loaded(ids).pooler_output, bag(ids).pooler_output)
