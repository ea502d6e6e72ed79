"""The store of embeddings: every text once, nothing half-written, and an interrupted run goes on."""

import numpy as np
import pytest
import torch
from open_codesage.train.common.fingerprint import content_hash
from open_codesage.train.common.identity import folder_hash, identify
from open_codesage.train.evaluation import cache
from open_codesage.train.evaluation.cache import Store
from open_codesage.train.evaluation.models import short_names

TEXTS = [letter * (7 * place % 10 + 1) for place, letter in enumerate("abcdefghij")]


class Embedder:
    """Embeds a text as its length and its first letter; breaks after some calls."""

    def __init__(self, calls=100):
        self.calls, self.seen = calls, []

    def __call__(self, texts):
        if not self.calls:
            raise KeyboardInterrupt
        self.calls -= 1
        self.seen += texts
        return torch.tensor([[float(len(text)), float(ord(text[0]))] for text in texts])


EXPECTED = Embedder()(TEXTS).numpy()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 3)


def test_embeddings_are_in_the_order_of_the_texts_and_stay_on_disk(tmp_path):
    embed = Embedder()
    found = Store(tmp_path).embeddings(["model"], TEXTS, embed, "x")
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float32
    assert np.array_equal(found, EXPECTED)
    assert embed.seen == sorted(TEXTS, key=lambda text: -len(text))  # of similar length in a batch


def test_an_interrupted_work_goes_on_and_nothing_is_embedded_twice(tmp_path):
    first, second = Embedder(calls=2), Embedder()
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).embeddings(["model"], TEXTS, first, "x")
    assert not [path for path in tmp_path.glob("*.npy") if ".part." not in path.name]
    assert np.array_equal(Store(tmp_path).embeddings(["model"], TEXTS, second, "x"), EXPECTED)
    assert len(first.seen) == 6
    assert sorted(first.seen + second.seen) == sorted(TEXTS)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_only_the_same_model_and_texts_share_embeddings(tmp_path):
    store, embed = Store(tmp_path), Embedder()
    for key, texts in ((["model"], TEXTS), (["other"], TEXTS), (["model"], TEXTS[1:]), (["model"], TEXTS)):
        assert len(store.embeddings(key, texts, embed, "x")) == len(texts)
    assert len(embed.seen) == 10 + 10 + 9
    assert content_hash(["ab", "c"]) != content_hash(["a", "bc"])


def test_a_finished_result_is_not_measured_again(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"mrr": 12.5}

    results = [Store(tmp_path).result(key, measure) for key in (["a"], ["a"], ["b"])]
    assert results == [{"mrr": 12.5}] * 3
    assert len(calls) == 2


def test_a_model_is_told_by_its_files_and_not_by_its_place(tmp_path):
    for name in ("one/model", "two/model"):
        (tmp_path / name / "1_Pooling").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"1")
    one, two = tmp_path / "one" / "model", tmp_path / "two" / "model"
    assert folder_hash(one) == folder_hash(two)
    (two / "training.json").write_text("{}")
    (two / ".cache").mkdir()
    (two / ".cache" / "x.json").write_text("{}")
    assert folder_hash(one) == folder_hash(two)
    (two / "1_Pooling" / "config.json").write_text("{}")
    assert folder_hash(one) != folder_hash(two)
    hashes = {folder_hash(two)}
    (two / "model.safetensors").write_bytes(b"2")
    assert folder_hash(two) not in hashes
    with pytest.raises(ValueError, match=r"config\.json is a file: give the folder"):
        identify(str(one / "config.json"))


def test_an_adapter_is_told_by_its_base_as_well(tmp_path):
    for name in ("base", "adapter"):
        (tmp_path / name).mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"1")
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        f'{{"base_model_name_or_path": "{(tmp_path / "base").as_posix()}"}}'
    )
    before = folder_hash(tmp_path / "adapter")
    (tmp_path / "base" / "model.safetensors").write_bytes(b"2")
    assert folder_hash(tmp_path / "adapter") != before


def test_names_are_as_short_as_they_can_be(tmp_path, monkeypatch):
    for name in ("a/stage2", "b/stage2", "b/stage1"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    given = ["bm25", "a/stage2", str(tmp_path / "b" / "stage2"), "b/stage1", "user/model"]
    assert short_names(given) == ["bm25", "a/stage2", "b/stage2", "stage1", "user/model"]
    with pytest.raises(ValueError, match="is given twice"):
        short_names(["a/stage2", str(tmp_path / "a" / "stage2")])
