"""Recipes of the documentation of transformers and peft, on our masked language model."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.tokenization.tokenizer import train_tokenizer
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "masked_lm.py"
TEXTS = [f"def add_{word}(left, right):\n    return left + right\n" * 2 for word in "abcdefghijklmnopqrst"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300, 64)


def new(layers=2, **more):
    torch.manual_seed(0)
    return CodeSageForMaskedLM(
        CodeSageConfig(
            vocab_size=300,
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            pad_token_id=2,
            **more,
        )
    )


@pytest.mark.parametrize("layers", [0, 2])
def test_the_script_for_masked_language_models_runs_as_it_is_printed(tokenizer, tmp_path, monkeypatch, capsys, layers):
    """With metrics in the evaluation, the best checkpoint at the end, recomputed activations, also without blocks."""
    new(layers).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    monkeypatch.setattr(
        sys, "argv", [EXAMPLE.name, *map(str, (tmp_path / "model", tmp_path / "texts.csv", tmp_path / "o"))]
    )
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    trainer = runpy.run_path(str(EXAMPLE))["trainer"]
    scores = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    assert len(scores) >= 3
    assert trainer.state.best_metric == max(scores)
    assert f"accuracy {scores[-1]}" in capsys.readouterr().out
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "o")
    assert torch.equal(again.lm_head.weight, trainer.model.lm_head.weight.cpu())


def test_predictions_without_a_reduction_have_all_positions(tokenizer, tmp_path):
    rows = [dict(tokenizer(text, truncation=True)) for text in TEXTS]
    seen = []

    def metrics(found):
        seen.append((found.predictions.shape, found.label_ids.shape))
        return {}

    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = Trainer(
        model=new(),
        args=arguments,
        eval_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(tokenizer, seed=0),
        compute_metrics=metrics,
    )
    assert np.isfinite(trainer.evaluate()["eval_loss"])
    [(predictions, labels)] = seen
    assert predictions == (*labels, 300)


def test_tokens_are_added(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    larger, model = AutoTokenizer.from_pretrained(tmp_path), new().eval()
    assert larger.add_tokens(["<indent>", "<dedent>"]) == 2
    model.resize_token_embeddings(len(larger))
    batch = larger("<indent> x", return_tensors="pt")
    assert batch["input_ids"].max() >= 300
    model.save_pretrained(tmp_path)
    larger.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path, device_map="cpu")
    assert again.lm_head.weight is again.transformer.wte.weight
    with torch.inference_mode():
        assert torch.equal(again(**batch).logits, model(**batch).logits)
        assert torch.equal(
            AutoTokenizer.from_pretrained(tmp_path)("<indent> x", return_tensors="pt").input_ids, batch.input_ids
        )


def test_an_adapter_learns_masked_tokens_and_is_merged(tokenizer, tmp_path):
    base = new(embedding_dropout_prob=0.0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True))
    rows = [dict(tokenizer(text, truncation=True)) for text in TEXTS]
    arguments = TrainingArguments(
        str(tmp_path / "run"), max_steps=3, learning_rate=1e-2, use_cpu=True, report_to=[], disable_tqdm=True,
        save_strategy="no", gradient_checkpointing=True,
    )  # fmt: skip
    collator = DataCollatorForLanguageModeling(tokenizer, seed=0)
    Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator).train()
    model.save_pretrained(tmp_path / "adapter")
    batch = tokenizer(TEXTS[:2], return_tensors="pt", padding=True)
    fresh = PeftModel.from_pretrained(new(embedding_dropout_prob=0.0), tmp_path / "adapter").eval()
    with torch.inference_mode():
        expected = model.eval()(**batch).logits
        assert torch.allclose(fresh(**batch).logits, expected, atol=1e-6)
        assert (fresh.merge_and_unload()(**batch).logits - expected).abs().max() < 1e-4
        assert (new(embedding_dropout_prob=0.0).eval()(**batch).logits - expected).abs().max() > 1e-4
