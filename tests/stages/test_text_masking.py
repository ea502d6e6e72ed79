"""Masks over plain text: what is masked by tokenizers of any kind, what decides it, and what is counted."""

import runpy
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.tokenization import Limits, find_identifiers
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.stages.data.text_masking import DataCollatorForIdentifierMasking, MaskingEpochCallback
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, ByT5Tokenizer, Trainer, TrainingArguments

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tiny_encoders.py"))
LANGUAGES = Path(__file__).parents[1] / "fixtures" / "languages"
FILES = {"python": "functions.py", "java": "Functions.java", "go": "functions.go", "ruby": "functions.rb"}
ROWS = [
    {"content": (LANGUAGES / language / name).read_text(encoding="utf-8")[:1500], "lang": language}
    for language, name in FILES.items()
]
CODE = 'def größe(_tüte, Zahl):\n    "größe of _tüte"\n    return f(_tüte) + Zahl  # Zahl\n'
KINDS = ("wordpiece", "unigram", "byte_level", "ours")


@pytest.fixture(scope="module")
def tokenizers():
    texts = [row["content"] for row in ROWS] + [CODE]
    trained = {kind: tiny[kind](texts) for kind in KINDS[:3]}
    return trained | {"ours": train_tokenizer(texts, 400, tiny["LENGTH"])}


def chosen(batch) -> np.ndarray:
    return (batch["labels"] != -100).numpy()


# What is masked


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_of_identifiers_are_masked_and_no_others(tokenizers, kind):
    """By positions in the text, found here on their own: the offsets of the tokenizer against the spans of names."""
    tokenizer = tokenizers[kind]
    collator = DataCollatorForIdentifierMasking(tokenizer, deobfuscation_share=1.0, max_length=512)
    batch = collator([{"content": CODE, "lang": "Python"}])
    encoded = tokenizer(CODE, return_offsets_mapping=True, split_special_tokens=True)
    names = [(name.start, name.end) for name in find_identifiers(CODE, "python")]
    assert {CODE[start:end] for start, end in names} == {"größe", "_tüte", "Zahl", "f"}
    expected = [
        any(start < last and end > first for first, last in names)
        and end > start
        and token not in tokenizer.all_special_ids
        for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]
    assert chosen(batch)[0].tolist() == expected
    assert batch["labels"][0][chosen(batch)[0]].tolist() == np.array(encoded["input_ids"])[expected].tolist()
    kept = ~np.array(expected)
    assert batch["input_ids"][0].numpy()[kept].tolist() == np.array(encoded["input_ids"])[kept].tolist()
    assert set(batch["input_ids"][0][chosen(batch)[0]].tolist()) == {tokenizer.mask_token_id}


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_never_masked(tokenizers, kind):
    tokenizer = tokenizers[kind]
    batch = DataCollatorForIdentifierMasking(tokenizer, 0.0, mask_rate=1.0)(ROWS)
    frame = tokenizer("", add_special_tokens=True)["input_ids"]
    assert frame
    for ids, mask, hidden in zip(batch["input_ids"], batch["attention_mask"], chosen(batch), strict=True):
        special = np.isin(ids[mask.bool()].numpy(), [*set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}])
        assert special.sum() >= len(frame)
        assert (hidden[mask.bool()] == ~special).all()
        assert not hidden[~mask.bool()].any()


def test_a_token_that_an_identifier_shares_with_its_neighbor_is_masked_as_a_whole_and_counted(tokenizers):
    """`(_` is one token of a byte-level BPE that has seen it often; ours never joins them."""
    text = "def f(_a):\n    return f(_a)\n"
    joined = tiny["byte_level"]([text * 50])
    pieces = joined.convert_ids_to_tokens(joined(text)["input_ids"])
    assert "(_" in pieces or any("(_" in piece for piece in pieces)
    collator = DataCollatorForIdentifierMasking(joined, 1.0)
    batch = collator([{"content": text, "lang": "python"}])
    hidden = [piece for piece, mask in zip(pieces, chosen(batch)[0], strict=True) if mask]
    mixed = [piece for piece in hidden if "(" in piece]
    assert len(mixed) == collator.counts["mixed_tokens"] == 2
    ours = DataCollatorForIdentifierMasking(tokenizers["ours"], 1.0)
    ours([{"content": text, "lang": "python"}])
    assert ours.counts["identifier_tokens"] > 0 == ours.counts["mixed_tokens"]


def test_both_objectives_take_their_share(tokenizers):
    rows = [{"content": f"def f{i}(x):\n    return x + {i}\n", "lang": "python"} for i in range(400)]
    collator = DataCollatorForIdentifierMasking(tokenizers["ours"], deobfuscation_share=0.25)
    collator(rows)
    assert collator.counts["documents"] == 400
    assert 70 < collator.counts["deobfuscated"] < 130
    assert collator.counts["parsed"] == collator.counts["deobfuscated"], "only what is deobfuscated is parsed"


# What decides it


@pytest.mark.parametrize("packed", [False, True])
def test_masks_are_a_function_of_seed_epoch_and_text(tokenizers, packed):
    tokenizer = tokenizers["ours"]
    model = CodeSageForMaskedLM(CodeSageConfig(**tiny["SIZES"], vocab_size=400)) if packed else None
    rows = [{"content": row["content"][:60], "lang": row["lang"]} for row in ROWS]

    def masks(rows, seed=0, epoch=0):
        collator = DataCollatorForIdentifierMasking(tokenizer, seed=seed, pack_for=model)
        collator.epoch = epoch
        batch = collator(rows)
        places = batch.get("position_ids", torch.arange(batch["labels"].shape[1]).expand_as(batch["labels"]))
        begins = (places == 0).flatten().nonzero().flatten().tolist()
        originals = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"]).flatten()
        real = batch["attention_mask"].flatten().bool()
        found = {}
        for start, end in zip(begins, [*begins[1:], len(originals)], strict=True):
            kept = real[start:end]
            if kept.any():
                text = tokenizer.decode(originals[start:end][kept])
                found[text] = batch["labels"].flatten()[start:end][kept].tolist()
        return found

    once = masks(rows)
    assert len(once) == len(rows)
    assert masks(rows[::-1]) == once
    assert {text: labels for row in rows for text, labels in masks([row]).items()} == once
    assert masks(rows, seed=1) != once
    assert masks(rows, epoch=1) != once


def test_workers_change_nothing_and_count_together(tokenizers):
    rows = ROWS * 2
    collator = DataCollatorForIdentifierMasking(tokenizers["byte_level"])
    alone = [collator(rows[i : i + 2]) for i in range(0, len(rows), 2)]
    counts = collator.counts
    fresh = DataCollatorForIdentifierMasking(tokenizers["byte_level"])
    with_workers = list(DataLoader(rows, batch_size=2, collate_fn=fresh, num_workers=2))
    for one, other in zip(alone, with_workers, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert fresh.counts == counts
    assert counts["documents"] == len(rows)


def test_workers_that_already_run_are_told_the_epoch(tokenizers):
    collator = DataCollatorForIdentifierMasking(tokenizers["byte_level"])
    loader = DataLoader(ROWS, batch_size=4, collate_fn=collator, num_workers=1, persistent_workers=True)
    first, again = ([batch["labels"] for batch in loader] for _ in range(2))
    collator.epoch = 1
    second = [batch["labels"] for batch in loader]
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, second))


# Long texts, rows and packing


def test_another_part_of_a_long_text_is_shown_in_each_epoch(tokenizers):
    tokenizer = tokenizers["ours"]
    text = "".join(f"def function_{i}(argument):\n    return argument + {i}\n" for i in range(400))
    collator = DataCollatorForIdentifierMasking(tokenizer, deobfuscation_share=1.0)
    shown = set()
    for epoch in range(8):
        collator.epoch = epoch
        batch = collator([{"content": text, "lang": "python"}])
        assert batch["input_ids"].shape == (1, tiny["LENGTH"])
        assert batch["input_ids"][0, -1] == tokenizer.eos_token_id
        assert chosen(batch).any()
        original = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])[0, :-1]
        assert tokenizer.decode(original) in text
        shown.add(tokenizer.decode(original))
    assert len(shown) == 8
    assert collator.counts["cut"] == collator.counts["deobfuscated"] == 8


def test_packed_documents_do_not_see_each_other(tokenizers):
    tokenizer = tokenizers["ours"]
    torch.manual_seed(0)
    model = CodeSageForMaskedLM(
        CodeSageConfig(**tiny["SIZES"], vocab_size=400, max_position_embeddings=64, pad_token_id=2)
    ).eval()
    rows = [{"content": text, "lang": "python"} for text in ("a = b\n", "def f(x):\n    return x\n", "c = d\n")]
    packed = DataCollatorForIdentifierMasking(tokenizer, pack_for=model)(rows)
    apart = DataCollatorForIdentifierMasking(tokenizer)(rows)
    assert len(packed["input_ids"]) < len(apart["input_ids"]) == 3
    assert "position_ids" not in apart, "architectures number positions in ways of their own"
    with torch.inference_mode():
        assert model(**packed).loss.item() == pytest.approx(model(**apart).loss.item(), rel=1e-5)
    with pytest.raises(ValueError, match="bert model would see each other"):
        DataCollatorForIdentifierMasking(tokenizer, pack_for=BertForMaskedLM(BertConfig(**tiny["SIZES"])))


# What cannot be parsed, or cannot be used


def test_what_has_no_tree_is_masked_at_random_and_counted(tokenizers):
    texts = {
        "unknown_language": {"content": "x = 1", "lang": "Klingon"},
        "syntax_error": {"content": "def (((" * 5, "lang": "python"},
        "too_large": {"content": "x = 1\n" * 40, "lang": "python"},
        "binary": {"content": "x\0", "lang": "python"},
    }
    rows = [*texts.values(), {"content": "x", "lang": None}, {"content": "x = '\ud800'", "lang": "python"}]
    collator = DataCollatorForIdentifierMasking(tokenizers["ours"], 1.0, mask_rate=1.0, limits=Limits(bytes=100))
    batch = collator(rows)
    assert {name: collator.counts[name] for name in texts} == dict.fromkeys(texts, 1) | {"unknown_language": 2}
    assert (chosen(batch).sum(1) > 0).all()


def test_an_empty_text_is_a_row_without_labels(tokenizers):
    batch = DataCollatorForIdentifierMasking(tokenizers["wordpiece"], 1.0)([{"content": "", "lang": "c"}])
    assert batch["input_ids"].tolist() == [[2, 3]]
    assert not chosen(batch).any()


def test_lengths_are_padded_to_a_multiple(tokenizers):
    batch = DataCollatorForIdentifierMasking(tokenizers["wordpiece"], pad_to_multiple_of=32)(ROWS)
    assert batch["input_ids"].shape == (len(ROWS), 64)
    assert batch["attention_mask"].sum(1).max() == tiny["LENGTH"]


def test_errors_name_the_remedy(tokenizers):
    tokenizer = tokenizers["wordpiece"]
    collator = DataCollatorForIdentifierMasking(tokenizer)
    with pytest.raises(ValueError, match=r"no column 'content', only input_ids.*remove_unused_columns=False"):
        collator([{"input_ids": [1]}])
    with pytest.raises(ValueError, match="content holds a int"):
        collator([{"content": 1, "lang": "c"}])
    with pytest.raises(ValueError, match="leave no place"):
        DataCollatorForIdentifierMasking(tokenizer, max_length=2)
    with pytest.raises(ValueError, match="fast tokenizer"):
        DataCollatorForIdentifierMasking(ByT5Tokenizer())
    with pytest.raises(ValueError, match="mask_rate"):
        DataCollatorForIdentifierMasking(tokenizer, mask_rate=2)
    endless = tiny["wordpiece"]([CODE])
    endless.model_max_length = int(1e30)
    with pytest.raises(ValueError, match="give max_length"):
        DataCollatorForIdentifierMasking(endless)
    endless.mask_token = None
    with pytest.raises(ValueError, match="no mask_token"):
        DataCollatorForIdentifierMasking(endless)


# In a Trainer


def bert(tokenizer):
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(**tiny["SIZES"], vocab_size=len(tokenizer), max_position_embeddings=64))


class Recorded(DataCollatorForIdentifierMasking):
    """Notes the epoch of each batch."""

    def __call__(self, rows):
        self.epochs = [*getattr(self, "epochs", []), self.epoch]
        return super().__call__(rows)


def arguments(folder, **options):
    usual = {"per_device_train_batch_size": 2, "remove_unused_columns": False, "report_to": [], "disable_tqdm": True}
    return TrainingArguments(str(folder), **(usual | {"use_cpu": True, "save_strategy": "no"} | options))


def test_the_callback_tells_the_epoch_also_to_a_resumed_training(tokenizers, tmp_path):
    tokenizer = tokenizers["wordpiece"]

    def train(folder, **options):
        collator = Recorded(tokenizer)
        trainer = Trainer(
            model=bert(tokenizer),
            args=arguments(folder, num_train_epochs=3, save_strategy="steps", save_steps=3),
            train_dataset=ROWS,
            data_collator=collator,
            callbacks=[MaskingEpochCallback(collator)],
        )
        trainer.train(**options)
        return collator.epochs, trainer.model.state_dict()

    epochs, weights = train(tmp_path)
    assert epochs == [0, 0, 1, 1, 2, 2]
    resumed, again = train(tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert resumed[-3:] == [1, 2, 2]
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_stream_is_trained_on(tokenizers, tmp_path):
    stream = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
    collator = Recorded(tokenizers["wordpiece"])
    trainer = Trainer(
        model=bert(tokenizers["wordpiece"]),
        args=arguments(tmp_path, max_steps=5),
        train_dataset=stream,
        data_collator=collator,
        callbacks=[MaskingEpochCallback(collator)],
    )
    assert np.isfinite(trainer.train().training_loss)
    assert collator.epochs[:5] == [0, 0, 1, 1, 2]
