"""Masks: what is masked, how often, and that nothing but (seed, epoch, row id) decides it."""

import numpy as np
import pytest
import torch
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.tokenizer import encode_with_identifiers, train_tokenizer
from open_codesage.train.common.randomness import derive, permutation, uniform
from open_codesage.train.stages.data import masking
from open_codesage.train.stages.data.masking import IdentifierMaskingCollator

END, MASK, PAD, IGNORED = 0, 1, 2, -100
LENGTH = 256


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        ["def f(self, x):\n    return self.data + x\n" * 20], vocab_size=280, model_max_length=LENGTH
    )


def make_row(row_id: int, lengths=(40, 100, 116), names: bool = True, epoch: int = 0) -> dict:
    """A packed row of random tokens; in each document a third of the tokens belong to nine names."""
    generator = np.random.default_rng(row_id)
    documents, identifiers = [], []
    for length in lengths:
        documents.append(np.append(generator.integers(3, 280, length - 1), END))
        ids = generator.integers(1, 10, length) * (generator.random(length) < 1 / 3) * names
        ids[-1] = 0
        identifiers.append(ids)
    return {
        "input_ids": np.concatenate(documents).astype(np.uint16),
        "identifier_ids": np.concatenate(identifiers).astype(np.uint16),
        "document_lengths": np.array(lengths, np.uint32),
        "row_id": row_id,
        "epoch": epoch,
    }


ROWS = [make_row(i) for i in range(200)]
TOKENS = np.stack([row["input_ids"] for row in ROWS]).astype(int)
NAMES = np.stack([row["identifier_ids"] for row in ROWS]).astype(int)


def masked(batch: dict) -> np.ndarray:
    return (batch["labels"] != IGNORED).numpy()


def documents_of(values: np.ndarray, lengths=(40, 100, 116)) -> list[np.ndarray]:
    """Split rows [R, L] into their documents."""
    return [part for row in values for part in np.split(row[: sum(lengths)], np.cumsum(lengths)[:-1])]


# The random words.


def test_words_are_those_of_splitmix64():
    """The first outputs for seeds 0 and 1234567, as they are published with reference implementations."""
    assert derive(0, np.arange(3)).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert derive(1234567, np.arange(2)).tolist() == [6457827717110365317, 3203168211198807973]


def test_words_are_uniform_and_independent():
    words = derive(derive(7, np.arange(500))[:, None], np.arange(500))
    numbers = uniform(words)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, 100, (0, 1))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < 160  # chi square with 99 degrees of freedom: beyond 160 in 1 of 10,000
    for neighbour in (
        numbers[1:],
        numbers[:, 1:],
        np.roll(uniform(derive(derive(8, np.arange(500))[:, None], np.arange(500))), 1),
    ):
        here = numbers[: neighbour.shape[0], : neighbour.shape[1]]
        assert abs(np.corrcoef(here.ravel(), neighbour.ravel())[0, 1]) < 0.01
    assert len(np.unique(words)) == words.size


def test_seeds_of_any_size_and_sign():
    assert derive(-1, 0) == derive(2**64 - 1, 0)
    assert derive(2**64 + 3, 0) == derive(3, 0)
    assert derive(3, 0) != derive(4, 0)


def test_permutation_is_one():
    assert sorted(permutation(3, 1000)) == list(range(1000))
    assert not np.array_equal(permutation(3, 1000), permutation(4, 1000))
    assert permutation(3, 0).size == 0


# What the paper masks.


def test_shape_and_contents_of_a_batch(tokenizer):
    rows = [make_row(0, (5, 3)), make_row(1, (2, 4, 5))]
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=0, mask_rate=0)(rows)
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in batch.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "position_ids", "labels"), ((2, 11), torch.int64)
    )
    assert batch["input_ids"].tolist() == [[*rows[0]["input_ids"], PAD, PAD, PAD], [*rows[1]["input_ids"]]]
    assert batch["attention_mask"].tolist() == [[1] * 8 + [0] * 3, [1] * 11]
    assert batch["position_ids"][0, :8].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert batch["position_ids"][1].tolist() == [0, 1, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert (batch["labels"] == IGNORED).all()


def test_labels_invert_the_masks(tokenizer):
    batch = IdentifierMaskingCollator(tokenizer, seed=0)(ROWS)
    chosen = masked(batch)
    assert 0.1 < chosen.mean() < 0.5
    np.testing.assert_array_equal(batch["input_ids"].numpy(), np.where(chosen, MASK, TOKENS))
    np.testing.assert_array_equal(batch["labels"].numpy(), np.where(chosen, TOKENS, IGNORED))


def test_end_and_padding_are_never_masked(tokenizer):
    rows = [make_row(i, (20, 30)) for i in range(20)] + [make_row(99, (200,))]
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=0, mask_rate=1.0)(rows)
    expected = (batch["attention_mask"] == 1).numpy()
    expected[:20, [19, 49]] = False
    expected[20, 199] = False
    np.testing.assert_array_equal(masked(batch), expected)


@pytest.mark.parametrize("rate", [0.075, 0.15, 0.3])
def test_random_masks_have_their_rate(tokenizer, rate):
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=0, mask_rate=rate)(ROWS)
    may = TOKENS != END
    share = masked(batch)[may].mean()
    assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / may.sum())
    # Neither the place in the row, nor the identifiers, nor the neighbour count.
    assert masked(batch).mean(axis=0).max() < rate + 0.18
    assert abs(masked(batch)[may & (NAMES > 0)].mean() - rate) < 0.015
    assert abs(np.corrcoef(masked(batch)[:, :-1].ravel(), masked(batch)[:, 1:].ravel())[0, 1]) < 0.02


def test_deobfuscation_masks_all_identifiers_and_nothing_else(tokenizer):
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)(ROWS)
    np.testing.assert_array_equal(masked(batch), NAMES > 0)
    assert (batch["input_ids"].numpy() == np.where(NAMES > 0, MASK, TOKENS)).all()


def test_each_document_is_one_or_the_other(tokenizer):
    """Half of the documents are deobfuscated, and no document is both."""
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0)(ROWS))
    kinds = []
    for mask, names in zip(documents_of(chosen), documents_of(NAMES), strict=True):
        kinds.append(np.array_equal(mask, names > 0))
        if not kinds[-1]:
            assert mask.mean() < 0.5
            assert not mask[names > 0].all()
    assert abs(np.mean(kinds) - 0.5) < 4 * 0.5 / np.sqrt(600)
    by_row = np.array(kinds).reshape(200, 3)
    assert 30 < (by_row[:, 0] == by_row[:, 1]).sum() - 50 < 70  # documents of a row are drawn apart
    share = np.mean([m.mean() for m, k in zip(documents_of(chosen), kinds, strict=True) if not k])
    assert abs(share - 0.15) < 0.01


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_deobfuscation_share(tokenizer, share):
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=1, deobfuscation_share=share)(ROWS))
    kinds = [np.array_equal(m, n > 0) for m, n in zip(documents_of(chosen), documents_of(NAMES), strict=True)]
    assert abs(np.mean(kinds) - share) <= 4 * np.sqrt(share * (1 - share) / 600)


def test_documents_without_identifiers_have_random_masks(tokenizer):
    rows = [make_row(i, names=False) for i in range(100)]
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)(rows))
    assert abs(chosen.mean() - 0.15 * 253 / 256) < 0.01
    row = make_row(0, (100, 100))  # and those beside them do not
    row["identifier_ids"][100:] = 0
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)([row]))[0]
    np.testing.assert_array_equal(chosen[:100], row["identifier_ids"][:100] > 0)
    assert chosen[100:].any()


def test_an_identifier_in_the_last_place_counts(tokenizer):
    """A document whose only name stands at the very end of the batch has a name."""
    row = make_row(0, (50,), names=False)
    row["identifier_ids"][48] = 1
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)([row]))[0]
    assert np.flatnonzero(chosen).tolist() == [48]
    without_end = {name: value[:49] for name, value in row.items() if name.endswith("_ids")}
    row |= without_end | {"document_lengths": np.array([49])}
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)([row]))[0]
    assert np.flatnonzero(chosen).tolist() == [48]


PYTHON = '''class Node:
    def __init__(self, data):
        self.data = data
        self.next = None

def display(node):
    """Print the list."""
    while node:
        print(node.data, end=" ")
        node = node.next
'''
OBFUSCATED = '''class ▢:
    def ▢(▢, ▢):
        ▢.▢ = ▢
        ▢.▢ = None

def ▢(▢):
    """Print the list."""
    while ▢:
        print(▢.▢, end=" ")
        ▢ = ▢.▢
'''


def test_deobfuscation_of_code_like_the_example_of_the_paper(tokenizer):
    """Figure 8 in kind: `self`, `__init__`, parameters, attributes, functions and classes of the file are hidden; the
    builtin `print`, the argument's name `end`, keywords, constants, strings and documentation stay."""
    identifiers = find_identifiers(PYTHON, "python")
    [(tokens, names)] = encode_with_identifiers([PYTHON], [identifiers], tokenizer)
    row = {
        "input_ids": np.append(tokens, END),
        "identifier_ids": np.append(names, 0),
        "document_lengths": [len(tokens) + 1],
        "row_id": 0,
        "epoch": 0,
    }
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=1.0)([row])
    shown = batch["input_ids"][0, :-1].numpy()
    first_of_run = (shown == MASK) & (np.append(0, names[:-1]) != names)  # one box for the masks of a name
    text = "".join(
        "▢" if first else "" if token == MASK else tokenizer.decode([token])
        for token, first in zip(shown, first_of_run, strict=True)
    )
    assert "".join(text.split()) == "".join(OBFUSCATED.split())
    assert (shown == MASK).sum() == (names > 0).sum() > len(identifiers)  # one mask for each token, not for each name
    restored = torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])[0, :-1]
    assert tokenizer.decode(restored) == PYTHON


# One thing decides a mask: (seed, epoch, row id).

VARIANTS = {
    "paper": {},
    "all options": {"identifier_share": 0.5, "mask_rate": (0.1, 0.5), "random_share": 0.1, "keep_share": 0.1},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_mask_does_not_depend_on_the_batch(tokenizer, options):
    rows = [make_row(i, lengths) for i, lengths in enumerate([(40, 60), (7,), (100, 2, 54), (90, 90)] * 4)]
    together = IdentifierMaskingCollator(tokenizer, seed=3, **options)(rows)
    backwards = IdentifierMaskingCollator(tokenizer, seed=3, length=LENGTH, **options)(rows[::-1])
    collator = IdentifierMaskingCollator(tokenizer, seed=3, **options)
    for i, row in enumerate(rows):
        size = len(row["input_ids"])
        for _ in range(2):  # nor on what was drawn before
            alone = collator([row])
            for name, tensor in alone.items():
                np.testing.assert_array_equal(tensor[0], together[name][i, :size])
                np.testing.assert_array_equal(tensor[0], backwards[name][len(rows) - 1 - i, :size])


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("changed", ["seed", "epoch", "row_id"])
def test_masks_of_other_seeds_epochs_and_rows_are_independent(tokenizer, options, changed):
    options = options | {"deobfuscation_share": 0.0, "mask_rate": 0.15}
    one = masked(IdentifierMaskingCollator(tokenizer, seed=3, **options)(ROWS))
    rows = [row | {changed: row[changed] + 1000} for row in ROWS] if changed != "seed" else ROWS
    other = masked(IdentifierMaskingCollator(tokenizer, seed=4 if changed == "seed" else 3, **options)(rows))
    may = TOKENS != END
    assert abs(np.corrcoef(one[may], other[may])[0, 1]) < 0.02
    assert abs((one & other)[may].mean() - 0.15**2) < 0.004


def test_kinds_of_documents_change_with_the_epoch(tokenizer):
    collator = IdentifierMaskingCollator(tokenizer, seed=0)
    kinds = []
    for epoch in 0, 1:
        chosen = masked(collator([row | {"epoch": epoch} for row in ROWS]))
        kinds.append([np.array_equal(m, n > 0) for m, n in zip(documents_of(chosen), documents_of(NAMES), strict=True)])
    assert abs(np.corrcoef(*kinds)[0, 1]) < 0.15


# Options of the ablations.


def test_a_share_of_identifiers_takes_whole_names(tokenizer):
    options = {"deobfuscation_share": 1.0, "identifier_share": 0.4}
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, **options)(ROWS))
    taken = []
    for mask, names in zip(documents_of(chosen), documents_of(NAMES), strict=True):
        assert not mask[names == 0].any()
        for number in set(names) - {0}:
            occurrences = mask[names == number]
            assert occurrences.all() or not occurrences.any()
            taken.append(occurrences[0])
    assert abs(np.mean(taken) - 0.4) < 4 * np.sqrt(0.4 * 0.6 / len(taken))


def test_a_range_of_rates_is_drawn_for_each_document(tokenizer):
    rows = [make_row(i, (256, 256)) for i in range(150)]
    options = {"deobfuscation_share": 0.0, "mask_rate": (0.1, 0.5)}
    chosen = masked(IdentifierMaskingCollator(tokenizer, seed=0, **options)(rows))
    rates = np.array([document.mean() for document in documents_of(chosen, (256, 256))])
    assert abs(rates.mean() - 0.3) < 0.03
    assert abs(rates.std() - np.hypot(0.4 / np.sqrt(12), 0.028)) < 0.02  # of the uniform range, and of its draws
    assert abs(np.corrcoef(rates[::2], rates[1::2])[0, 1]) < 0.3


def test_80_10_10(tokenizer):
    options = {"random_share": 0.1, "keep_share": 0.1}
    plain = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=0)(ROWS)
    batch = IdentifierMaskingCollator(tokenizer, seed=0, deobfuscation_share=0, **options)(ROWS)
    np.testing.assert_array_equal(batch["labels"], plain["labels"])  # the same tokens are to be predicted
    chosen = masked(batch)
    shown = batch["input_ids"].numpy()[chosen]
    original = TOKENS[chosen]
    assert abs((shown == MASK).mean() - 0.8) < 0.02
    assert abs((shown == original).mean() - 0.1) < 0.015
    swapped = shown[(shown != MASK) & (shown != original)]
    assert abs(len(swapped) / len(shown) - 0.1) < 0.015
    assert not {END, MASK, PAD} & set(swapped)
    assert len(set(swapped)) > 200  # of 277 ordinary tokens
    np.testing.assert_array_equal(batch["input_ids"].numpy()[~chosen], TOKENS[~chosen])


def test_80_10_10_leaves_deobfuscation_as_it_is(tokenizer):
    options = {"random_share": 0.5, "keep_share": 0.5, "deobfuscation_share": 1.0}
    batch = IdentifierMaskingCollator(tokenizer, seed=0, **options)(ROWS)
    np.testing.assert_array_equal(batch["input_ids"].numpy(), np.where(NAMES > 0, MASK, TOKENS))


@pytest.mark.parametrize(
    ("options", "longest", "length"),
    [({}, 10, 10), ({"length": 64}, 10, 64)],
)
def test_length_of_a_batch(tokenizer, options, longest, length):
    batch = IdentifierMaskingCollator(tokenizer, seed=0, **options)([make_row(0, (longest,)), make_row(1, (3, 4))])
    assert {tensor.shape for tensor in batch.values()} == {(2, length)}
    assert batch["attention_mask"].sum(1).tolist() == [longest, 7]


def test_rows_of_lists_and_a_row_of_one_end_token(tokenizer):
    row = {"input_ids": [0], "identifier_ids": [0], "document_lengths": [1], "row_id": 0, "epoch": 0}
    batch = IdentifierMaskingCollator(tokenizer, seed=0, mask_rate=1.0)([row, make_row(1, (3,))])
    assert (batch["labels"][0] == IGNORED).all()
    assert batch["input_ids"][0].tolist() == [0, PAD, PAD]


# Mistakes.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_rate": 1.5}, "mask_rate must be at least 0 and at most 1, not 1.5"),
        ({"mask_rate": (0.5, 0.1)}, "lowest, highest"),
        ({"deobfuscation_share": -0.1}, "deobfuscation_share"),
        ({"identifier_share": 2}, "identifier_share"),
        ({"random_share": 0.6, "keep_share": 0.6}, r"random_share \+ keep_share"),
    ],
)
def test_useless_settings_are_refused(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        IdentifierMaskingCollator(tokenizer, seed=0, **options)


def test_rows_that_do_not_fit_are_refused(tokenizer):
    with pytest.raises(ValueError, match="a row of 20 tokens is longer than 10"):
        IdentifierMaskingCollator(tokenizer, seed=0, length=10)([make_row(0, (20,))])
    with pytest.raises(ValueError, match="documents do not sum"):
        IdentifierMaskingCollator(tokenizer, seed=0)([make_row(0, (20,)) | {"document_lengths": [10, 9]}])


def test_a_tokenizer_without_a_mask_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="<e>", pad_token="<p>")
    with pytest.raises(ValueError, match="no mask_token"):
        IdentifierMaskingCollator(bare, seed=0)


# What is listed for an accelerator.


def test_a_listed_batch_tells_its_documents_and_the_positions_to_predict(tokenizer):
    rows = [make_row(1, (40, 100, 60)), make_row(2), make_row(3, (5, 5))]
    plain, listed = (
        IdentifierMaskingCollator(tokenizer, seed=3, length=LENGTH, listed=listed)(rows) for listed in (False, True)
    )
    assert all(torch.equal(listed[name], values) for name, values in plain.items())
    begins = [0, 40, 140, 200, 256, 296, 396, 512, 512, 517, 522]  # padding is a document, in a full row an empty one
    assert listed["cu_seq_lens_q"].tolist() == begins + [768] * (3 * 8 + 1 - len(begins))
    assert listed["cu_seq_lens_q"].dtype == torch.int32
    assert listed["max_length_q"] == LENGTH
    places, labels = listed["masked_lm_positions"], listed["labels"].flatten()
    assert len(places.unique()) == len(places) in (96, 192, 384)
    assert sorted(places[labels[places] != IGNORED].tolist()) == (labels != IGNORED).nonzero().flatten().tolist()


def test_lists_keep_their_length_until_they_are_full():
    for documents, room in ((3, 16), (16, 16), (17, 32), (40, 64)):
        ends = masking.documents_of(np.full(documents, 10), rows=2)
        assert len(ends) == room + 1
        assert ends[documents:].tolist() == [10 * documents] * (room + 1 - documents)
    for predicted, room in ((0, 8), (8, 8), (9, 16), (33, 64), (64, 64)):
        labels = np.full(64, IGNORED)
        labels[64 - predicted :] = 5
        places = masking.positions_of(labels.reshape(2, 32))
        assert len(set(places)) == len(places) == room
        assert (labels[places] != IGNORED).sum() == predicted
