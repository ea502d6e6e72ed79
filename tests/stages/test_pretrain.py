"""What one Stage I run does: losses and counts in its log against direct computations, its folder, its refusals."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_codesage.modeling import attention_codesage
from open_codesage.train.corpus.corpus import Corpus
from open_codesage.train.stages.data.masking import IdentifierMaskingCollator
from open_codesage.train.stages.data.packing import prepare_shards
from open_codesage.train.stages.data.stream import EpochStream
from open_codesage.train.stages.pretrain import _identifier_masks, _mean_loss
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, EvalPrediction

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import varlen_on_cpu
from tiny_pretraining import curve, main, settings, write_inputs

STEADY = {"embedding_dropout_prob": 0.0, "residual_dropout_prob": 0.0, "attention_dropout_prob": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, and a run of 40 steps without dropout."""
    folder = tmp_path_factory.mktemp("pretrain")
    write_inputs(folder)
    main(steady(folder, "model", steps=40, save_steps=100, eval_steps=20))
    return folder


def steady(folder: Path, output: str, **changes):
    model = settings(folder, output).model | STEADY
    return settings(folder, output, **({"model": model} | changes))


def rows(folder: Path, split: str):
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return prepare_shards(Corpus(folder / "corpus").files(split), tokenizer, 64, folder / f"rows-{split}"), tokenizer


def log(folder: Path, output: str) -> dict:
    return json.loads((folder / output / "training.json").read_text())


def direct_losses(model, batch) -> torch.Tensor:
    """Compute the loss of every labelled position from the logits of all positions, one row at a time."""
    losses = []
    with torch.no_grad():
        for ids, mask, positions, labels in zip(*batch.values(), strict=True):
            logits = model(input_ids=ids[None], attention_mask=mask[None], position_ids=positions[None]).logits[0]
            losses.append(F.cross_entropy(logits[labels != -100], labels[labels != -100], reduction="none"))
    return torch.cat(losses)


def test_the_model_learns(folder):
    steps = curve(folder / "model")
    for name in ("eval_random_loss", "eval_identifier_loss"):
        assert steps[40][name] < steps[20][name] < 0.97 * np.log(320)
    assert np.mean([steps[i]["loss"] for i in range(36, 41)]) < np.mean([steps[i]["loss"] for i in range(1, 6)]) - 0.5


def test_the_folder_opens_with_the_auto_classes(folder):
    model = AutoModelForMaskedLM.from_pretrained(folder / "model")
    encoder = AutoModel.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    batch = tokenizer(["def read_index(index): return index"], return_tensors="pt")
    assert model(**batch).logits.shape == (1, batch["input_ids"].shape[1], len(tokenizer))
    assert encoder(**batch).pooler_output.shape == (1, 32)
    assert model.config.pad_token_id == tokenizer.pad_token_id == 2
    assert model.config.vocab_size == len(tokenizer)
    longer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    assert longer.model_max_length > tokenizer.model_max_length == model.config.max_position_embeddings
    assert not list((folder / "model").glob("*.bin"))


@pytest.mark.parametrize("name", ["random", "identifier"])
@pytest.mark.parametrize("rows_at_once", [3, 2])
def test_evaluation_losses_are_means_over_tokens_whatever_the_batches(folder, name, rows_at_once):
    held_out, tokenizer = rows(folder, "held_out")
    assert len(held_out) % rows_at_once, "the last batch shall be smaller"
    output = f"evaluated-{rows_at_once}"
    if not (folder / output).exists():
        main(steady(folder, output, preset=None, model={}, init_from=folder / "model", steps=1, learning_rate=1e-30,
                    device_batch_size=rows_at_once))  # fmt: skip
    collator = IdentifierMaskingCollator(tokenizer, 0, deobfuscation_share={"random": 0.0, "identifier": 1.0}[name])
    items = EpochStream(held_out, 0, len(held_out))
    batch = collator([items[i] for i in range(len(held_out))])
    expected = direct_losses(AutoModelForMaskedLM.from_pretrained(folder / "model"), batch).mean()
    assert curve(folder / output)[1][f"eval_{name}_loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("rows_at_once", [6, 3, 2])
def test_training_losses_are_means_over_the_tokens_of_a_step_however_it_is_cut(folder, rows_at_once):
    train, tokenizer = rows(folder, "train")
    output = f"step-{rows_at_once}"
    changes = {"preset": None, "model": STEADY, "init_from": folder / "model", "device_batch_size": rows_at_once}
    main(steady(folder, output, steps=2, warmup_steps=0, **changes))
    items = EpochStream(train, 0, 12)
    batch = IdentifierMaskingCollator(tokenizer, 0)([items[i] for i in range(6)])
    losses = direct_losses(AutoModelForMaskedLM.from_pretrained(folder / "model"), batch)
    logged = curve(folder / output)
    assert logged[1]["loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
    # The gradients are those of the same mean, so the second step begins with the same weights.
    if rows_at_once != 6:
        whole = curve(folder / "step-6")
        assert logged[1]["grad_norm"] == pytest.approx(whole[1]["grad_norm"], rel=1e-4)
        assert logged[2]["loss"] == pytest.approx(whole[2]["loss"], rel=1e-4)


def test_the_identifier_evaluation_asks_for_identifiers_only(folder):
    _, tokenizer = rows(folder, "train")
    collator = IdentifierMaskingCollator(tokenizer, 0, deobfuscation_share=1.0, mask_rate=0.5)
    names = [np.array([0, 3, 3, 0, 0]), np.zeros(5, int), np.array([0, 1, 0])]
    batch = [
        {"input_ids": np.full(len(n), 9), "identifier_ids": n, "document_lengths": [len(n)], "row_id": i, "epoch": 0}
        for i, n in enumerate(names)
    ]
    assert (collator(batch)["labels"][1] != -100).any(), "a document without identifiers shall have random masks"
    labels = _identifier_masks(collator, batch)["labels"]
    assert labels.tolist() == [[-100, 9, 9, -100, -100], [-100] * 5, [-100, 9, -100, -100, -100]]


def test_an_evaluation_without_any_identifier_has_no_loss():
    assert _mean_loss(EvalPrediction(np.zeros(3), np.zeros(3, int))) == {}
    assert _mean_loss(EvalPrediction(np.array([2.0, 4.0]), np.array([1, 3]))) == {"loss": 1.5}


def test_evaluations_of_runs_with_other_masks_are_comparable(folder):
    start = {"preset": None, "model": STEADY, "init_from": folder / "model", "steps": 1, "learning_rate": 1e-30}
    masks = {"mask_rate": 0.4, "identifier_share": 0.5, "random_share": 0.2, "deobfuscation_share": 0.9, "seed": 5}
    for output, changes in (("plain", {}), ("masks", masks)):
        main(steady(folder, output, **start, **changes))
    plain, other = (curve(folder / output)[1] for output in ("plain", "masks"))
    assert plain["loss"] != pytest.approx(other["loss"], rel=1e-3)
    for name in ("eval_random_loss", "eval_identifier_loss"):
        assert plain[name] == pytest.approx(other[name], rel=1e-6)


def test_the_log_counts_what_was_done(folder):
    train, _ = rows(folder, "train")
    record = log(folder, "model")
    items = EpochStream(train, 0, 240)
    assert record["tokens"] == sum(len(items[i]["input_ids"]) for i in range(240))
    assert record["steps"] == 40 and record["settings"]["steps"] == 40
    assert record["tokens_per_second"] == pytest.approx(record["tokens"] / record["seconds"])
    assert 0 < record["mfu"] < 1 and record["flops"] > 6 * record["tokens"] * 2 * (4 * 32**2 + 2 * 32 * 64)
    entry = next(entry for entry in record["log"] if "loss" in entry)
    assert entry["tokens_per_second"] > 0 and 0 < entry["mfu"] < 1
    assert curve(folder / "model")[40]["epoch"] == pytest.approx(240 / len(train))


def test_the_learning_rate_rises_and_falls(folder):
    rates = [entry["learning_rate"] for entry in curve(folder / "model").values()]
    assert np.argmax(rates) == 4 and rates[4] == 5e-3
    assert np.allclose(np.diff(rates[:5]), 5e-3 / 4) and np.allclose(np.diff(rates[4:]), -5e-3 / 36)


def test_epochs_become_steps(folder):
    train, _ = rows(folder, "train")
    main(steady(folder, "epochs", steps=None, epochs=0.6))
    assert log(folder, "epochs")["steps"] == -(-0.6 * len(train) // 6)


def test_the_seed_decides_and_nothing_else(folder):
    weights = {}
    for output, seed in (("one", 3), ("same", 3), ("other", 4)):
        torch.rand(7)
        main(settings(folder, output, steps=2, seed=seed))
        weights[output] = (folder / output / "model.safetensors").read_bytes()
    assert weights["one"] == weights["same"] != weights["other"]


def test_rows_can_be_shared_by_several_runs(folder):
    written = []
    for output in ("first", "second"):
        main(steady(folder, output, steps=1, shards=folder / "shared"))
        assert not (folder / f"{output}.run" / "shards").exists()
        written.append({file: file.stat().st_mtime_ns for file in (folder / "shared").rglob("*")})
    assert written[0] == written[1] and len(written[0]) > 2


def test_without_held_out_files_there_is_no_evaluation_and_it_is_said(folder, tmp_path, capsys):
    (tmp_path / "corpus").symlink_to(folder / "corpus")
    everything = tmp_path / "everything"
    everything.mkdir()
    (everything / "files").symlink_to(folder / "corpus" / "files")
    (everything / "held_out.json").write_text('{"units": []}')
    main(steady(folder, "unevaluated", corpus=everything, steps=1))
    assert "no held-out files: the model will not be evaluated" in capsys.readouterr().out
    assert not any(name.startswith("eval") for entry in log(folder, "unevaluated")["log"] for name in entry)


def test_training_goes_on_from_other_weights(folder):
    main(steady(folder, "more", preset=None, model=STEADY, init_from=folder / "model", steps=3, learning_rate=1e-5))
    assert curve(folder / "more")[1]["loss"] < curve(folder / "model")[5]["loss"] - 0.5
    main(steady(folder, "bf16", steps=2, bf16=True))
    assert all(p.dtype == torch.float32 for p in AutoModel.from_pretrained(folder / "bf16").parameters())


def test_without_steps_the_new_model_is_written(folder):
    main(steady(folder, "new", steps=0))
    main(steady(folder, "new", steps=0))
    assert log(folder, "new")["tokens"] == log(folder, "new")["steps"] == 0
    main(steady(folder, "begun", steps=1, learning_rate=1e-30))
    new, begun = (load_file(folder / name / "model.safetensors") for name in ("new", "begun"))
    assert new.keys() == begun.keys()
    assert all(torch.equal(weight, begun[name]) for name, weight in new.items())


def test_a_model_grows_by_new_blocks(folder):
    layers = AutoModel.from_pretrained(folder / "model").config.num_hidden_layers
    deeper = {"num_hidden_layers": layers + 1, "initializer_range": 1e-8}
    main(steady(folder, "grown", preset=None, model=STEADY | deeper, init_from=folder / "model", steps=0))
    before, grown = (AutoModel.from_pretrained(folder / name).eval() for name in ("model", "grown"))
    old, new = before.state_dict(), grown.state_dict()
    assert {name.split(".")[1] for name in new.keys() - old.keys()} == {str(layers)}
    assert all(torch.equal(weight, new[name]) for name, weight in old.items())
    ids = torch.arange(3, 12)[None]
    with torch.no_grad():
        torch.testing.assert_close(grown(ids).pooler_output, before(ids).pooler_output)
        # Not since nothing counts: a block of usual weights changes the outputs.
        torch.nn.init.normal_(grown.h[-1].mlp.c_proj.weight)
        torch.nn.init.normal_(grown.h[-1].mlp.c_fc.weight)
        assert not torch.allclose(grown(ids).pooler_output, before(ids).pooler_output, atol=1e-2)


def test_frozen_token_embeddings_stay_and_the_rest_learns(folder):
    changes = {"preset": None, "model": STEADY, "init_from": folder / "model", "steps": 2, "learning_rate": 1e-3}
    main(steady(folder, "frozen", freeze_token_embeddings=True, **changes))
    before, after = (load_file(folder / name / "model.safetensors") for name in ("model", "frozen"))
    assert {name for name in before if torch.equal(before[name], after[name])} == {"transformer.wte.weight"}


def test_a_compiled_model_is_saved_under_its_own_names(folder):
    plain = steady(folder, "uncompiled", steps=2)
    main(plain)
    trainer = plain.trainer | {"torch_compile_backend": "eager"}
    main(steady(folder, "compiled", steps=2, compile=True, trainer=trainer))
    one, other = (load_file(folder / name / "model.safetensors") for name in ("uncompiled", "compiled"))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight)


@pytest.mark.parametrize("kernel", [False, True], ids=["masks", "kernel"])
def test_fixed_shapes_learn_the_same(folder, kernel, monkeypatch, capsys):
    """Ten steps of two micro-batches, whose losses are divided by the labels of both."""
    plain = steady(folder, "of-any-shape", save_steps=100, eval_steps=None)
    if not (folder / "of-any-shape").exists():
        main(plain)
    if kernel:
        varlen_on_cpu.register()
        monkeypatch.setattr(attention_codesage, "has_varlen_kernel", lambda *case: True)
    name = f"of-one-shape-{kernel}"
    main(steady(folder, name, save_steps=100, eval_steps=None, fixed_shapes=True))
    assert ("a kernel for variable lengths" if kernel else "by masks") in capsys.readouterr().out
    expected, found = curve(folder / "of-any-shape"), curve(folder / name)
    for step in range(1, 11):
        assert found[step]["loss"] == pytest.approx(expected[step]["loss"], rel=1e-4)
        assert found[step]["grad_norm"] == pytest.approx(expected[step]["grad_norm"], rel=1e-3)
    one, other = log(folder, "of-any-shape"), log(folder, name)
    assert (one["tokens"], one["flops"]) == (other["tokens"], other["flops"])


def test_an_error_leaves_no_model_folder(folder, monkeypatch):
    calls = iter(range(6))

    def fail(self, rows):
        if next(calls) == 5:
            raise OSError("disk on fire")
        return mask(self, rows)

    mask = IdentifierMaskingCollator.__call__
    monkeypatch.setattr(IdentifierMaskingCollator, "__call__", fail)
    with pytest.raises(OSError, match="disk on fire"):
        main(settings(folder, "failed"))
    assert not (folder / "failed").exists() and not list(folder.glob(".failed*"))


def test_a_training_that_diverges_is_stopped_before_anything_is_saved(folder):
    with pytest.raises(ValueError, match=r"loss is (nan|inf) at step \d.*lower learning_rate"):
        main(settings(folder, "diverged", learning_rate=1e30, max_grad_norm=0.0, warmup_steps=0, save_steps=1))
    assert not (folder / "diverged").exists()
    for weights in (folder / "diverged.run").glob("checkpoint-*/model.safetensors"):
        assert all(torch.isfinite(weight).all() for weight in load_file(weights).values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1.0}, "give either steps or epochs"),
        ({"steps": None}, "give either steps or epochs"),
        ({"preset": None}, "give either preset or init_from"),
        ({"freeze_token_embeddings": True}, "would keep random ones: give init_from"),
        ({"steps": -1}, "steps must be at least 0, not -1"),
        ({"eval_rows": -1}, "eval_rows must be positive, not -1"),
        ({"batch_size": 7}, "batch_size 7 is not a multiple of device_batch_size 3 x 1 devices"),
        ({"trainer": {"learning_rate": 1.0}}, "learning_rate is set by this command"),
        ({"trainer": {"max_steps": 1}}, "max_steps is set by this command"),
        ({"trainer": {"learning_rat": 1.0}}, "has no 'learning_rat'"),
        ({"trainer": {"use_cpu": True, "save_total_limit": 1}}, "save_total_limit must be at least 2"),
        ({"max_length": 65}, "max_length 65 is over the model's 64"),
        ({"model": {"vocab_size": 300}}, "320 tokens, the model 300"),
        ({"model": {"hiden_size": 32}}, "hiden_size"),
        ({"mask_rate": 1.5}, "mask_rate must be at least 0 and at most 1"),
        ({"languages": ("java",)}, "java"),
        ({"corpus": Path("/nowhere")}, "there is no corpus folder /nowhere"),
        ({"tokenizer": Path("/nowhere")}, r"/nowhere is not a tokenizer folder"),
        ({"preset": None, "init_from": Path("/nowhere")}, "/nowhere: There is no such folder"),
    ],
)
def test_bad_settings_are_refused_by_name(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        main(settings(folder, "refused", **changes))
    assert not (folder / "refused").exists()


def test_pickled_weights_are_refused(folder, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle.*`open-codesage convert`"):
        main(settings(folder, "refused", preset=None, init_from=tmp_path))


def test_a_folder_of_something_else_is_not_touched(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(ValueError, match="mine exists and was not made by this command"):
        main(settings(folder, "mine"))
    assert [path.name for path in (folder / "mine").iterdir()] == ["thesis.txt"]
