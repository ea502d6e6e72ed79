"""Batches of Stage II: full, of one language, without duplicates, and always the same."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from open_codesage.train.stages.data.batches import PairBatchSampler, PairCollator, without_name

TEXTS = ("summary", "code", "hard_positive")


def pairs(rows: int = 600, seed: int = 0) -> Dataset:
    """Pairs in three languages of unequal size, with many equal summaries, codes and hard positives."""
    generator = np.random.default_rng(seed)
    columns = {}
    for name in TEXTS:
        values = generator.integers(0, 4 * rows, rows)
        values[generator.random(rows) < 0.06] = 0  # one value is popular
        columns[name] = [f"{name} {value}" for value in values]
    languages = generator.choice(["go", "java", "python"], rows, p=[0.1, 0.3, 0.6])
    return Dataset.from_dict(columns | {"language": languages.tolist()})


def shares_a_value(dataset: Dataset, rows: list[int]) -> bool:
    batch = dataset[rows]
    return any(len(set(batch[name])) < len(rows) for name in TEXTS)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_global_batches_are_full_of_one_language_and_without_duplicates(processes):
    dataset = pairs()
    sampler = PairBatchSampler(dataset, 16 // processes, seed=1, processes=processes)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 20 * processes
    assert {len(batch) for batch in batches} == {16 // processes}
    steps = np.array(batches).reshape(-1, 16).tolist()
    assert not any(shares_a_value(dataset, step) for step in steps)
    assert all(len(set(dataset[step]["language"])) == 1 for step in steps)
    assert len({row for step in steps for row in step}) == len(steps) * 16 == sampler.rows_per_epoch
    # The data are such that plain shuffled batches would break both rules.
    plain = np.random.default_rng(0).permutation(600)[:592].reshape(-1, 16)
    assert sum(shares_a_value(dataset, batch.tolist()) for batch in plain) > len(plain) / 2
    assert any(len(set(dataset[batch.tolist()]["language"])) > 1 for batch in plain)


def test_processes_take_the_parts_of_the_same_global_batch():
    dataset = pairs()
    alone = list(PairBatchSampler(dataset, 16, processes=1))
    shared = PairBatchSampler(dataset, 8, processes=2)
    first, second = (list(BatchSamplerShard(shared, 2, rank, even_batches=False)) for rank in (0, 1))
    assert [one + other for one, other in zip(first, second, strict=True)] == alone


def test_batches_are_a_function_of_seed_and_epoch():
    dataset = pairs()

    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = PairBatchSampler(dataset, 16, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    sampler = PairBatchSampler(dataset, 16, seed=0)
    first = list(sampler)
    for epoch in (3, 0):
        sampler.set_epoch(epoch)
        assert list(sampler) == list(sampler) == batches(0, epoch)
    assert list(sampler) == first
    assert batches(0, 1) != first != batches(1, 0)
    assert len({len(batches(0, epoch)) for epoch in range(5)}) == 1


def test_what_sits_out_changes_with_the_epoch():
    dataset = pairs()
    sampler = PairBatchSampler(dataset, 16)
    seen = Counter()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        seen.update(row for batch in sampler for row in batch)
    assert sampler.rows_per_epoch < 550
    assert len(seen) > 590


def test_languages_are_mixed_in_proportion_and_throughout_the_epoch():
    languages = ["python"] * 6000 + ["java"] * 3000 + ["go"] * 1000
    dataset = Dataset.from_dict({"summary": [str(i) for i in range(10_000)], "language": languages})
    order = [languages[batch[0]] for batch in PairBatchSampler(dataset, 10)]
    assert Counter(order) == {"python": 600, "java": 300, "go": 100}
    for part in (order[:500], order[500:]):
        assert 250 < part.count("python") < 350


def test_languages_may_be_mixed():
    dataset = pairs()
    sampler = PairBatchSampler(dataset, 16, one_language=False)
    assert any(len(set(dataset[batch]["language"])) > 1 for batch in sampler)
    assert not any(shares_a_value(dataset, batch) for batch in sampler)


@pytest.mark.parametrize("seed", range(20))
def test_as_many_batches_as_the_largest_kins_allow(seed):
    """K batches of B pairs can be filled if and only if sum(min(size, K)) >= K B over the groups of equal pairs."""
    generator = np.random.default_rng(seed)
    sizes = generator.zipf(1.5, 40).clip(max=60)
    summaries = np.repeat(np.arange(40), sizes)
    size = int(generator.integers(2, 9))
    dataset = Dataset.from_dict({"summary": [str(i) for i in generator.permutation(summaries)]})
    possible = [k for k in range(len(dataset) // size + 1) if np.minimum(sizes, k).sum() >= k * size]
    sampler = PairBatchSampler(dataset, size, one_language=False)
    batches = list(sampler)
    assert len(batches) == possible[-1]
    assert all(len({dataset[row]["summary"] for row in batch}) == size for batch in batches)


def test_a_language_too_small_for_a_batch_is_left_out_and_named():
    dataset = pairs()
    go = list(dataset["language"]).count("go")
    sampler = PairBatchSampler(dataset, 80)
    assert sampler.left_out == {"go": go}
    assert all("go" not in dataset[batch]["language"] for batch in sampler)
    assert PairBatchSampler(dataset, 8).left_out == {}


def test_data_that_fill_no_batch_are_refused():
    same = Dataset.from_dict(
        {"summary": ["equal"] * 100, "code": [str(i) for i in range(100)], "language": ["c"] * 100}
    )
    with pytest.raises(ValueError, match="100 pairs do not fill a batch of 2 different pairs of one language"):
        PairBatchSampler(same, 2)
    with pytest.raises(ValueError, match="smaller batch_size"):
        PairBatchSampler(pairs(), 1000, one_language=False)
    with pytest.raises(ValueError, match="column 'language'"):
        PairBatchSampler(same.remove_columns("language"), 2)


def rows(number: int) -> list[dict[str, str]]:
    return [{"summary": f"s{i}", "code": f"c{i}", "hard_positive": f"h{i}"} for i in range(number)]


def test_the_form_of_a_row_is_a_function_of_seed_and_row():
    def forms(share: float, seed: int = 0, of: list[dict[str, str]] | None = None) -> list[str]:
        collator = PairCollator(lambda texts, processing_kwargs: {"texts": texts}, 8, 8, share, seed)
        return collator(of or rows(1000))["code_texts"]

    assert forms(1.0) == [f"h{i}" for i in range(1000)]
    assert forms(0.0) == [f"c{i}" for i in range(1000)]
    half = forms(0.5)
    assert 450 < sum(form[0] == "h" for form in half) < 550
    assert half[::-1] == forms(0.5, of=rows(1000)[::-1])
    assert half != forms(0.5, seed=1)
    # Raising the share keeps the rows that were hard.
    assert all(more[0] == "h" for less, more in zip(half, forms(0.7), strict=True) if less[0] == "h")


@pytest.mark.parametrize(
    ("name", "summary", "nameless"),
    [
        ("NewSet", "NewSet creates a set.", "Creates a set."),
        ("merge", "merge merges two sets.", "Merges two sets."),
        ("new_set", "new_set() will create a set.", "Will create a set."),
        ("Größe", "Größe gives ärger.", "Gives ärger."),
        # The name is no subject, or not the name.
        ("merge", "merge two sets.", None),
        ("merge", "Merges two sets.", None),
        ("NewSet", "NewSettings creates settings.", None),
        ("Newton", "Newton's method finds roots.", None),
        ("Clause", 'Clause ::= "WHERE" Clauses', None),
        ("NewSet", "NewSet", None),
        ("NewSet", "", None),
    ],
)
def test_the_name_is_taken_off_a_summary_where_it_is_the_subject(name, summary, nameless):
    assert without_name(summary, name) == (summary if nameless is None else nameless)


def test_the_form_of_a_summary_is_a_function_of_seed_and_row():
    named = [row | {"nameless_summary": f"n{i}"} for i, row in enumerate(rows(1000))]

    def forms(share: float, seed: int = 0) -> list[str]:
        collator = PairCollator(lambda texts, processing_kwargs: {"texts": texts}, 8, 8, 0.5, seed, share)
        collated = collator(named)
        assert (
            collated["code_texts"]
            == PairCollator(lambda texts, **_: {"texts": texts}, 8, 8, 0.5, seed)(named)["code_texts"]
        )
        return collated["text_texts"]

    assert forms(1.0) == [f"n{i}" for i in range(1000)]
    assert forms(0.0) == [f"s{i}" for i in range(1000)]
    whole = [row | {"documentation": f"d{i}"} for i, row in enumerate(named)]
    collator = PairCollator(lambda texts, processing_kwargs: texts, 8, 8, 0.5, 0, 0.5, documentation_share=0.4)
    kinds = Counter(collator.text(row)[0] for row in whole)
    assert 350 < kinds["d"] < 450 and 240 < kinds["n"] < 360
    half = forms(0.5)
    assert 450 < sum(form[0] == "n" for form in half) < 550
    assert half == forms(0.5) != forms(0.5, seed=1)
    # It does not follow the other choice.
    hard = [PairCollator(lambda texts: {}, 8, 8, 0.5).code(row)[0] == "h" for row in named]
    both = sum(form[0] == "n" and is_hard for form, is_hard in zip(half, hard, strict=True))
    assert 200 < both < 300


def test_questions_and_codes_without_names_are_forms_of_whatever_was_chosen():
    rows = [
        {
            "summary": f"Returns the {word} of a value.",
            "code": f"def get_{word}(value):\n    return value",
            "language": "python",
        }
        for word in map(chr, range(97, 123))
    ]
    every = PairCollator(lambda texts: {}, 8, 8, 0.0, question_share=1.0, obfuscated_share=1.0)
    assert not any("Returns" in every.text(row) or every.text(row).endswith(".") for row in rows)
    assert {every.code(row) for row in rows} == {"def v0(v1):\n    return v1"}
    half = PairCollator(lambda texts: {}, 8, 8, 0.0, question_share=0.5, obfuscated_share=0.5)
    assert 5 < sum(half.text(row) == row["summary"] for row in rows) < 21
    assert 5 < sum(half.code(row) == row["code"] for row in rows) < 21
    assert [half.text(row) for row in rows] == [half.text(row) for row in rows]
    again = replace(half, epoch=1)
    assert [half.text(row) for row in rows] != [again.text(row) for row in rows]
    assert [half.code(row) for row in rows] != [again.code(row) for row in rows]
    assert [again.code(row) for row in rows] == [again.code(row) for row in rows]


def test_unimodal_pairs_are_a_function_with_its_names_and_without():
    rows = [
        {"summary": "Returns it.", "code": f"def get_{word}(value):\n    return value", "language": "python"}
        for word in map(chr, range(97, 123))
    ]
    some = PairCollator(lambda texts: {}, 8, 8, 0.0, obfuscated_share=1.0, unimodal_share=0.5)
    pairs = [(some.text(row), some.code(row)) for row in rows]
    unimodal = [text != row["summary"] for (text, _), row in zip(pairs, rows, strict=True)]
    assert 5 < sum(unimodal) < 21
    bare = "def v0(v1):\n    return v1"
    for row, pair, so in zip(rows, pairs, unimodal, strict=True):
        assert pair == ((bare, row["code"]) if so else (row["summary"], bare))


def test_without_hard_positives_the_column_is_not_needed():
    collator = PairCollator(lambda texts, processing_kwargs: {"texts": texts}, 8, 8, 0.0)
    assert collator([{"summary": "s", "code": "c"}]) == {"text_texts": ["s"], "code_texts": ["c"]}


def test_each_side_has_its_own_length():
    def preprocess(texts, processing_kwargs):
        return {"input_ids": [text[: processing_kwargs["text"]["max_length"]] for text in texts]}

    collated = PairCollator(preprocess, 3, 5, 0.0)([{"summary": "summary", "code": "functions"}])
    assert collated == {"text_input_ids": ["sum"], "code_input_ids": ["funct"]}
