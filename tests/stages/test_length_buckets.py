"""Mini-batches by length: the encoder computes less, and nothing else changes."""

import copy

import pytest
import torch
from open_codesage.train.stages.length_buckets import bucket_by_length
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss
from torch import nn
from transformers import BertConfig, BertModel

LENGTHS = torch.tensor([3, 9, 1, 5, 9, 2])


def encoder():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return BertModel(BertConfig(vocab_size=50, hidden_dropout_prob=0, attention_probs_dropout_prob=0, **sizes))


class Embedder(nn.Sequential):
    """A sentence model as the loss sees one: features in, mean of the states out."""

    def __init__(self):
        super().__init__()
        self.encoder = encoder()

    def forward(self, features):
        states, mask = self.encoder(**features).last_hidden_state, features["attention_mask"][..., None]
        return {"sentence_embedding": (states * mask).sum(1) / mask.sum(1)}


def batch(lengths=LENGTHS):
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return {"input_ids": torch.randint(3, 50, mask.shape), "attention_mask": mask}


def in_pieces_of(model, tokens):
    """A copy of a model in pieces, and the shapes of the batches that its layers see."""
    bucketed, shapes = copy.deepcopy(model), []
    bucketed.embeddings.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[:2])))
    bucket_by_length(bucketed, tokens)
    return bucketed, shapes


def test_the_states_of_tokens_that_count_are_those_of_the_whole_batch_in_its_order():
    whole, given = encoder(), batch()
    bucketed, shapes = in_pieces_of(whole, 20)
    kept = given["attention_mask"].bool()
    expected, found = whole(**given).last_hidden_state, bucketed(**given).last_hidden_state
    assert found.shape == expected.shape
    torch.testing.assert_close(found[kept], expected[kept])
    assert not found[~kept].any()
    # 20 tokens at most; from 5 on a piece ends where rows get shorter.
    assert shapes == [(2, 9), (1, 5), (2, 3), (1, 1)]


def test_a_row_that_is_longer_than_a_piece_is_a_piece_of_its_own():
    bucketed, shapes = in_pieces_of(encoder(), 4)
    bucketed(**batch())
    assert shapes == [(1, 9), (1, 9), (1, 5), (1, 3), (1, 2), (1, 1)]


def test_tokens_left_out_in_the_middle_leave_the_others_in_their_places():
    whole, given = encoder(), batch()
    given["attention_mask"][1, 2:5] = 0
    given["attention_mask"][4, 0] = 0
    bucketed, _ = in_pieces_of(whole, 20)
    kept = given["attention_mask"].bool()
    torch.testing.assert_close(bucketed(**given).last_hidden_state[kept], whole(**given).last_hidden_state[kept])


def test_other_tensors_of_the_batch_go_with_their_rows():
    whole, given = encoder(), batch()
    given["token_type_ids"] = torch.randint(2, given["input_ids"].shape)
    bucketed, _ = in_pieces_of(whole, 20)
    kept = given["attention_mask"].bool()
    expected = whole(**given).last_hidden_state[kept]
    torch.testing.assert_close(bucketed(**given).last_hidden_state[kept], expected)
    del given["token_type_ids"]
    assert not torch.allclose(whole(**given).last_hidden_state[kept], expected)


@pytest.mark.parametrize("mini_batch_size", [None, 4])
def test_a_loss_and_its_gradients_stay_the_same(mini_batch_size):
    results = []
    for tokens in (None, 12):
        model = Embedder()
        if tokens:
            bucket_by_length(model.encoder, tokens)
        loss = HardNegativeContrastiveLoss(model, gamma="none", mini_batch_size=mini_batch_size)
        torch.manual_seed(1)
        value = loss([batch(), batch(LENGTHS.flip(0))])
        value.backward()
        results.append((value.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]))
    (value, gradients), (other, others) = results
    torch.testing.assert_close(value, other)
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients)
    for one, two in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, two)
