"""The stream of rows: every index has one row, whoever reads it."""

import datasets
import numpy as np
import pytest
from open_codesage.train.stages.data.stream import EpochStream
from torch.utils.data import DataLoader, SequentialSampler

ROWS = 50


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> datasets.Dataset:
    """Rows of different lengths, memory-mapped: row i is i, i+1, …"""
    folder = tmp_path_factory.mktemp("rows")
    lists = {
        "input_ids": [list(range(i, 2 * i + 1)) for i in range(ROWS)],
        "document_lengths": [[i + 1] for i in range(ROWS)],
    }
    features = datasets.Features(
        {
            "input_ids": datasets.List(datasets.Value("uint16")),
            "document_lengths": datasets.List(datasets.Value("uint32")),
        }
    )
    datasets.Dataset.from_dict(lists, features=features).save_to_disk(str(folder), num_shards=3)
    return datasets.load_from_disk(str(folder))


def row_ids(stream: EpochStream) -> list[int]:
    return [stream[i]["row_id"] for i in range(len(stream))]


def test_an_item_is_its_row(rows):
    stream = EpochStream(rows, seed=0, length=120)
    for i in range(len(stream)):
        item = stream[i]
        assert set(item) == {"input_ids", "document_lengths", "row_id", "epoch"}
        assert item["epoch"] == i // ROWS
        assert item["input_ids"].tolist() == list(range(item["row_id"], 2 * item["row_id"] + 1))
        assert item["document_lengths"].tolist() == [item["row_id"] + 1]
        assert (item["input_ids"].dtype, item["document_lengths"].dtype) == (np.uint16, np.uint32)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(rows):
    ids = row_ids(EpochStream(rows, seed=0, length=3 * ROWS + 7))
    epochs = [ids[i : i + ROWS] for i in range(0, len(ids), ROWS)]
    assert [sorted(epoch) for epoch in epochs[:3]] == [list(range(ROWS))] * 3
    assert len(set(map(tuple, epochs[:3]))) == 3
    assert len(epochs[3]) == 7
    assert epochs[0] != list(range(ROWS))


def test_the_seed_decides_the_order(rows):
    ids = row_ids(EpochStream(rows, seed=0, length=2 * ROWS))
    assert row_ids(EpochStream(rows, seed=0, length=2 * ROWS)) == ids
    assert row_ids(EpochStream(rows, seed=1, length=2 * ROWS)) != ids


def test_an_index_has_one_row_in_any_order_of_reading(rows):
    stream = EpochStream(rows, seed=0, length=10 * ROWS)
    forwards = row_ids(stream)
    assert [stream[i]["row_id"] for i in reversed(range(len(stream)))] == forwards[::-1]
    jumps = np.random.default_rng(0).integers(0, len(stream), 100).tolist()
    assert [item["row_id"] for item in stream.__getitems__(jumps)] == [forwards[i] for i in jumps]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_starts_later_goes_on_alike(rows, workers):
    """What a resumed Trainer does: read sequentially, skip the first batches."""
    stream = EpochStream(rows, seed=0, length=2 * ROWS)
    whole = row_ids(stream)
    loader = DataLoader(
        stream,
        batch_size=8,
        sampler=SequentialSampler(stream),
        num_workers=workers,
        collate_fn=lambda items: [(item["epoch"], item["row_id"], item["input_ids"].sum()) for item in items],
    )
    batches = list(loader)
    assert [row_id for batch in batches for _, row_id, _ in batch] == whole
    assert all(total == sum(range(row_id, 2 * row_id + 1)) for batch in batches for _, row_id, total in batch)


def test_selected_rows_keep_their_place_in_the_selection(rows):
    chosen = rows.select([30, 10, 20])
    stream = EpochStream(chosen, seed=0, length=3)
    assert {item["row_id"]: item["input_ids"][0] for item in stream.__getitems__([0, 1, 2])} == {0: 30, 1: 10, 2: 20}


@pytest.mark.parametrize("index", [-1, 10])
def test_there_is_nothing_outside(rows, index):
    with pytest.raises(IndexError, match=f"item {index} of a stream of 10"):
        EpochStream(rows, seed=0, length=10)[index]


def test_no_rows_are_refused(rows):
    with pytest.raises(ValueError, match="no rows"):
        EpochStream(rows.select([]), seed=0, length=10)
