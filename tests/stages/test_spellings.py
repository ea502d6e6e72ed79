"""Spellings of a word start alike and learn together, by their gradients alone."""

import pytest
import torch
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.stages.spellings import join_spellings, spellings
from torch import nn


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["Index(index, x.index, INDEX, _index, __index) " * 50 + "the other words " * 50], 330, 32)


def test_tokens_that_spell_a_word_have_one_name(tokenizer):
    first = spellings(tokenizer)
    vocabulary = tokenizer.get_vocab()
    same = [token for token in ("Index", "Ġindex", "ĠINDEX", "Ġ_index") if token in vocabulary]
    assert len(same) >= 3
    (word,) = {int(first[vocabulary[token]]) for token in same}
    assert word <= min(vocabulary[token] for token in same)
    assert tokenizer.convert_ids_to_tokens(word).lower().strip("Ġ_") == "index"
    assert first.shape == (len(tokenizer),)
    assert bool((first[first] == first).all())


def test_bytes_white_space_and_marks_keep_to_themselves(tokenizer):
    first = spellings(tokenizer)
    vocabulary = tokenizer.get_vocab()
    # The characters that stand for the bytes C3 and E3 are an upper and a lower case letter, by accident.
    alone = ["Ã", "ã", "Ġ", "_", "(", ")", "<mask>"]
    assert [int(first[vocabulary[token]]) for token in alone] == [vocabulary[token] for token in alone]


@pytest.fixture
def embedding() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(5, 3)


def test_spellings_start_alike_and_share_gradients(embedding):
    before = embedding.weight.detach().clone()
    join_spellings(embedding, torch.tensor([0, 1, 0, 1]))
    assert torch.equal(embedding.weight, before[[0, 1, 0, 1, 4]])
    weights = torch.randn(3)
    (embedding(torch.tensor([2, 4])) @ weights).sum().backward()
    # Token 2 was read: it has its own gradient and its word's, token 0 its word's; row 4 belongs to no word.
    expected = torch.stack([weights, 0 * weights, 2 * weights, 0 * weights, weights])
    torch.testing.assert_close(embedding.weight.grad, expected)


def test_gradients_may_be_accumulated(embedding):
    join_spellings(embedding, torch.tensor([0, 1, 0, 1]))
    weights, ids = torch.randn(4, 3), torch.tensor([2, 4, 3, 2])
    (embedding(ids) * weights).sum().backward()
    whole = embedding.weight.grad.clone()
    embedding.weight.grad = None
    for half in (slice(0, 2), slice(2, 4)):
        (embedding(ids[half]) * weights[half]).sum().backward()
    torch.testing.assert_close(embedding.weight.grad, whole)
    assert whole[0].abs().min() > 0
