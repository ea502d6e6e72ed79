"""Stage II as a command: a folder that sentence-transformers opens, its record, and what is refused."""

import importlib.util
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from open_codesage.modeling import CodeSageForMaskedLM, CodeSageModel
from open_codesage.train.stages import contrast
from open_codesage.train.stages.callbacks.collapse import CollapseAlarm
from open_codesage.train.stages.configs import ContrastConfig
from open_codesage.train.stages.contrast import BimodalTrainer, main
from open_codesage.train.stages.data.batches import PairBatchSampler, PairCollator
from open_codesage.train.stages.length_buckets import CPU_TOKENS, bucket_by_length
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss, collapse_value_of_ranking
from open_codesage.train.stages.spellings import spellings
from pyarrow import parquet
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import AutoTokenizer, BertConfig, BertModel, TrainerControl, TrainerState

SCRIPT = Path(__file__).parents[1] / "scripts" / "contrast_run.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("contrast")
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPT)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    tiny.make_corpus(folder / "corpus")
    tiny.make_encoder(folder / "encoder")
    return folder


def config(folder: Path, output: str = "model", **more) -> ContrastConfig:
    settings = {
        "steps": 40,
        "batch_size": 16,
        "mini_batch_size": None,
        "learning_rate": 3e-3,
        "text_max_length": 24,
        "code_max_length": 48,
        "eval_steps": 20,
        "logging_steps": 2,
        "trainer": {"disable_tqdm": True},
    }
    paths = {"corpus": folder / "corpus", "model": folder / "encoder", "output": folder / output}
    return ContrastConfig(**paths | settings | more)


@pytest.fixture(scope="module")
def model(folder) -> Path:
    return main(config(folder))


def record(output: Path) -> dict:
    return json.loads((output / "training.json").read_text())


def test_the_folder_is_one_of_sentence_transformers_alone(model, folder):
    modules = json.loads((model / "modules.json").read_text())
    assert [module["type"].rsplit(".", 1)[1] for module in modules] == ["Transformer", "Pooling", "Normalize"]
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    assert not [file for file in model.rglob("*") if file.suffix in (".bin", ".pt", ".pth")]
    opened = SentenceTransformer(str(model), device="cpu")
    assert opened.max_seq_length == 48
    vectors = opened.encode(["parse the header of a file", "x " * 500], convert_to_tensor=True)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_the_record_tells_what_was_learnt(model):
    log = record(model)
    losses = [entry["loss"] for entry in log["log"] if "loss" in entry]
    assert losses[-1] < losses[0] / 3
    found = [entry["eval_mrr"] for entry in log["log"] if "eval_mrr" in entry]
    assert len(found) == 2  # once on the way, once at the end
    assert 100 * log["held_out_mrr@10"] == pytest.approx(found[-1]) and found[-1] > 80
    assert log["collapse"] is None
    assert log["pairs_per_epoch"] % 16 == 0 < log["pairs_per_epoch"] <= log["pairs"] == 167
    assert log["tokens_per_second"] > 0
    assert 0 < log["mfu"] < 1


def test_tokens_are_counted_without_padding(folder, model):
    """One epoch's tokens, by the tokenizer, are those that the steps of an epoch count."""
    from open_codesage.train.corpus.corpus import Corpus

    opened = SentenceTransformer(str(model), device="cpu")
    steps = record(model)["pairs_per_epoch"] // 16
    output = main(config(folder, "epoch", epochs=1.0, steps=None, hard_positive_share=0.0))
    pairs = Corpus(folder / "corpus").functions("train")
    lengths = [
        len(opened.tokenizer(pairs[row][column], truncation=True, max_length=length)["input_ids"])
        for batch in PairBatchSampler(pairs.select_columns(["summary", "code", "language"]), 16)
        for row in batch
        for column, length in (("summary", 24), ("code", 48))
    ]
    assert record(output)["steps"] == steps
    assert record(output)["tokens"] == sum(lengths)


def test_names_at_the_beginning_of_summaries_are_masked(folder):
    """An epoch over summaries such as "parse_header parse the header" has fewer tokens without the names."""
    corpus = folder / "named"
    shutil.copytree(folder / "corpus", corpus)
    for part in corpus.glob("functions/*.parquet"):
        table = parquet.read_table(part)
        texts = [f"{row['name']} {row['summary']}" for row in table.select(["name", "summary"]).to_pylist()]
        parquet.write_table(table.set_column(table.column_names.index("summary"), "summary", [texts]), part)
    more = {"corpus": corpus, "epochs": 1.0, "steps": None, "eval_steps": None}
    named, half, nameless = (
        record(main(config(folder, f"named-{share}", name_mask_share=share, **more)))["tokens"]
        for share in (0.0, 0.5, 1.0)
    )
    assert named > half > nameless
    assert abs(half - (named + nameless) / 2) < (named - nameless) / 4


def test_dropped_tokens_are_not_read(folder):
    more = {"epochs": 1.0, "steps": None, "eval_steps": None}
    whole, thin = (
        record(main(config(folder, f"thin-{share}", token_dropout=share, **more)))["tokens"] for share in (0.0, 0.5)
    )
    assert 0.5 * whole < thin < 0.6 * whole  # the first token of a text always stays


@pytest.mark.parametrize("mini_batch_size", [None, 4])
def test_training_without_padding_is_training_with_it(folder, monkeypatch, mini_batch_size):
    """Tokens laid end to end give the padded batch's weights, but for rounding."""
    more = {"token_dropout": 0.2, "mini_batch_size": mini_batch_size, "steps": 5, "eval_steps": None}
    seen = []
    forward = CodeSageModel.forward
    monkeypatch.setattr(CodeSageModel, "forward", lambda self, input_ids, *rest, **named: (
        seen.append(len(input_ids)) or forward(self, input_ids, *rest, **named)
    ))  # fmt: skip
    flat = main(config(folder, f"flat {mini_batch_size}", **more))
    assert set(seen[:10]) == {1}
    seen.clear()
    monkeypatch.setattr(BimodalTrainer, "_flattened", lambda self, inputs: inputs)
    padded = main(config(folder, f"padded {mini_batch_size}", **more))
    assert 1 not in seen[:10]
    before = load_file(folder / "encoder" / "model.safetensors")
    one, other = (load_file(output / "model.safetensors") for output in (flat, padded))
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(one["wte.weight"], before["transformer.wte.weight"], atol=1e-3)


def test_spellings_learn_together(folder):
    """With shared gradients a token that is never read goes where its other spelling goes."""
    shared, alone = (main(config(folder, f"shared {flag}", steps=5, share_spellings=flag)) for flag in (True, False))
    tokenizer = SentenceTransformer(str(shared), device="cpu").tokenizer
    first = spellings(tokenizer)
    others = (first != torch.arange(len(first))).nonzero()[:, 0]
    assert len(others) > 10

    def distance(output: Path) -> float:
        vectors = load_file(output / "model.safetensors")["wte.weight"]
        return float((vectors[others] - vectors[first[others]]).norm(dim=1).mean())

    assert distance(shared) < distance(alone) / 4


def test_a_finished_run_is_not_done_again(folder, model, capsys):
    written = (model / "model.safetensors").stat().st_mtime_ns
    assert main(config(folder, eval_steps=7)) == model
    assert "finished already" in capsys.readouterr().out
    assert (model / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"learning_rate was 0\.003, is 0\.1"):
        main(config(folder, learning_rate=0.1))


def test_matryoshka_adds_the_loss_of_the_first_dimensions(folder):
    def first_loss(dims: tuple[int, ...]) -> float:
        output = main(config(folder, f"nested {dims}", steps=1, logging_steps=1, matryoshka_dims=dims))
        return record(output)["log"][0]["loss"]

    whole, same, part, both = (first_loss(dims) for dims in ((), (32,), (4,), (4, 32)))
    assert same == pytest.approx(whole, rel=1e-6)
    assert both == pytest.approx(whole + part, rel=1e-6)
    assert part > 1


def first_loss(folder: Path, **more) -> float:
    """The loss of the first batch, before anything is learnt."""
    name = " ".join(f"{key} {value}" for key, value in more.items())
    return record(main(config(folder, f"first {name}".replace("/", "-"), steps=1, logging_steps=1, **more)))["log"][0][
        "loss"
    ]


def test_the_loss_of_sentence_transformers_and_its_hardness(folder):
    plain = first_loss(folder, loss="mnrl")
    hard = first_loss(folder, loss="mnrl", hardness_mode="in_batch_negatives", hardness_strength=3.0)
    assert hard > plain + 0.5
    assert first_loss(folder, loss="mnrl", mini_batch_size=4) == pytest.approx(plain, rel=1e-4)
    assert first_loss(folder, gamma="none") != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_the_collapse_value_of_the_ranking_loss_is_that_of_equal_embeddings(strength):
    options = {"hardness_mode": "in_batch_negatives", "hardness_strength": strength} if strength else {}
    loss = MultipleNegativesRankingLoss(torch.nn.Identity(), **options)
    equal = torch.ones(6, 3)
    value = loss.compute_loss_from_embeddings([equal, equal], None)
    assert value.item() == pytest.approx(collapse_value_of_ranking(6, strength), rel=1e-5)


def test_dropout_pairs_need_dropout_and_differ_by_it_alone(folder, tmp_path):
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPT)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    with pytest.raises(ValueError, match="has no dropout"):
        main(config(folder, "refused", pairs="dropout"))
    encoder = tiny.make_encoder(tmp_path / "encoder", dropout=0.1)
    unimodal = first_loss(folder, model=encoder, pairs="dropout", gamma="none", hard_positive_share=0.0)
    bimodal = first_loss(folder, model=encoder, gamma="none", hard_positive_share=0.0)
    # A function is nearer to itself than to its summary, and not as near as to its very copy.
    assert 0 < unimodal < bimodal - 0.3


def test_a_collapsed_encoder_is_reported_once_with_the_remedy(folder, capsys):
    weights = load_file(folder / "encoder" / "model.safetensors")
    for name in weights:
        if name.endswith("ln_f.weight"):
            weights[name].zero_()  # every token becomes the bias: all embeddings are one point
        if name.endswith("ln_f.bias"):
            weights[name].fill_(1.0)
    collapsed = folder / "collapsed"
    collapsed.mkdir()
    for file in (folder / "encoder").iterdir():
        (collapsed / file.name).write_bytes(file.read_bytes())
    save_file(weights, collapsed / "model.safetensors", {"format": "pt"})
    output = main(config(folder, "point", model=collapsed, learning_rate=1e-9, steps=20, eval_steps=None))
    said = capsys.readouterr().out
    assert said.count("COLLAPSE") == 1
    assert all(remedy in said for remedy in ("longer Stage I", "warmup_steps", "lower learning_rate"))
    log = record(output)
    assert log["collapse"].startswith("COLLAPSE: after ")
    assert [entry["collapse"] for entry in log["log"] if "collapse" in entry] == [log["collapse"]]
    assert log["log"][0]["loss"] == pytest.approx(math.log(31), rel=1e-5)


def watch(losses: list[float], value: float = 5.0, warmup: int = 20, history: int = 0) -> list[str]:
    """Feed an alarm a loss every 5 steps; `history` entries are in the log of a run that is continued."""
    said: list[str] = []
    alarm = CollapseAlarm(value, said.append)
    args = SimpleNamespace(get_warmup_steps=lambda steps: warmup)
    entries = [{"loss": loss, "step": 5 * (number + 1)} for number, loss in enumerate(losses)]
    state = TrainerState(max_steps=5 * len(losses), log_history=entries[:history])
    alarm.on_train_begin(args, state, TrainerControl())
    for entry in entries[history:]:
        state.log_history.append(entry)
        alarm.on_log(args, state, TrainerControl(), logs=entry)
    return said


def test_the_alarm_waits_for_the_warmup_and_then_for_a_tenth_of_the_steps():
    stuck = [5.0 + 0.02 * (-1) ** number for number in range(80)]  # 400 steps, 20 of warm-up, patience 40
    (message,) = watch(stuck)
    assert message.startswith("COLLAPSE: after 60 steps")
    assert len(watch(stuck, warmup=350)) == 1
    assert watch(stuck, warmup=370) == []


def test_a_loss_that_passes_by_is_no_collapse():
    assert watch([8 - 0.05 * number for number in range(100)]) == []
    assert watch([5.2] * 100) == []
    assert watch([5.0] * 4 + [4.0] * 96) == []


def test_a_loss_that_leaves_the_value_later_is_no_longer_a_collapse():
    alarm, recovery = watch([5.0] * 40 + [4.0] * 40)
    assert alarm.startswith("COLLAPSE")
    assert "has left the value of collapse" in recovery


def test_noise_around_the_value_is_smoothed():
    noisy = [5.0 + 0.15 * (-1) ** number for number in range(100)]  # single values are 3 % off
    assert len(watch(noisy)) == 1


def test_a_continued_run_remembers_what_the_alarm_has_seen():
    stuck = [5.0] * 80
    assert watch(stuck, history=10) == watch(stuck)
    assert watch(stuck, history=10)[0].startswith("COLLAPSE: after 60 steps")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": None}, "either steps or epochs"),
        ({"epochs": 1.0}, "either steps or epochs"),
        ({"steps": 0}, "steps must be positive"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"hard_positive_share": 1.5}, "hard_positive_share must be at least 0 and at most 1"),
        ({"name_mask_share": -0.5}, "name_mask_share must be at least 0 and at most 1"),
        ({"token_dropout": 1.0}, "token_dropout must be at least 0 and below 1"),
        ({"gamma": "none", "gamma_gradient": True}, "gamma_gradient"),
        ({"hardness_mode": "in_batch_negatives"}, "hardness_mode is an option of loss mnrl"),
        ({"loss": "mnrl", "hardness_strength": -1.0}, "hardness_strength must be at least 0"),
        ({"mini_batch_size": 0}, "mini_batch_size must be positive"),
        ({"code_max_length": 65}, "at most 64, the model's positions"),
        ({"matryoshka_dims": (64,)}, "32"),
        ({"batch_size": 5000}, "do not fill a batch of 5,000"),
        ({"languages": ("cobol",)}, "cobol"),
        ({"languages": ("rb",)}, "no ruby"),
        ({"trainer": {"learning_rate": 1.0}}, "learning_rate is set by this command"),
        ({"trainer": {"gradient_accumulation_steps": 2}}, "gradient_accumulation_steps is set by this command"),
        ({"trainer": {"no_such": 1}}, "no_such"),
        ({"corpus": Path("nowhere")}, "nowhere"),
        ({"model": Path("nowhere")}, "nowhere"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        main(config(folder, "refused", **settings))
    assert not (folder / "refused").exists()


def test_pickled_weights_are_refused_with_the_way_to_convert_them(folder, tmp_path):
    for file in (folder / "encoder").iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(CodeSageForMaskedLM.from_pretrained(folder / "encoder").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin .*open-codesage convert"):
        main(config(folder, "refused", model=tmp_path))


def test_loss_sampler_and_collator_fit_the_plain_trainer_of_sentence_transformers(model, tmp_path):
    opened = SentenceTransformer(str(model), device="cpu")
    words = [f"{a} {b}" for a in ("parse", "merge", "count") for b in ("header", "matrix", "token")]
    pairs = Dataset.from_dict({"summary": words, "code": [f"{w}()" for w in words], "language": ["go"] * 9})
    trainer = SentenceTransformerTrainer(
        model=opened,
        args=SentenceTransformerTrainingArguments(
            tmp_path,
            per_device_train_batch_size=4,
            max_steps=3,
            batch_sampler=PairBatchSampler,
            save_strategy="no",
            use_cpu=True,
        ),
        train_dataset=pairs,
        loss=HardNegativeContrastiveLoss(opened, mini_batch_size=2),
        data_collator=PairCollator(opened.preprocess, 24, 48, hard_positive_share=0.0),
    )
    assert isinstance(trainer.get_train_dataloader().batch_sampler, PairBatchSampler)
    assert trainer.train().training_loss > 0


def test_a_teacher_is_asked_once_and_its_similarities_are_learnt(folder, model):
    settings = {"steps": 30, "teacher": str(model), "teacher_share": 1.0, "matryoshka_dims": (32, 8), "save_steps": 10}
    output = main(config(folder, "taught", **settings))
    log = record(output)
    losses = [entry["loss"] for entry in log["log"] if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    # What belongs together is near, though no step saw the pairs as pairs.
    assert log["held_out_mrr@10"] > 0.5
    vectors = np.load(folder / "taught.run" / "teacher.npy")
    assert vectors.shape[1:] == (2, 32)
    assert len(vectors) <= log["pairs"]
    assert "collapse" in log and log["collapse"] is None


def test_a_teacher_needs_our_loss(folder):
    with pytest.raises(ValueError, match="teacher"):
        config(folder, teacher="any", loss="mnrl")


def test_a_bert_is_trained_in_mini_batches_by_length(folder, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(folder / "encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    encoder = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    encoder.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    bucketed = []

    def in_pieces(model, tokens):
        bucketed.append(tokens)
        bucket_by_length(model, 64)

    monkeypatch.setattr(contrast, "bucket_by_length", in_pieces)
    output = main(config(folder, str(tmp_path / "trained"), model=tmp_path / "bert", steps=4))
    assert bucketed == [CPU_TOKENS]
    opened = SentenceTransformer(str(output), device="cpu")
    assert opened.encode(["parse the header"]).shape == (1, 32)
