"""A document's outputs depend on nothing else in its batch: padding, side, neighbours, packing, layout."""

import pytest
import torch
from torch.testing import assert_close
from transformers.masking_utils import find_packed_sequence_indices

CLOSE = {"rtol": 0, "atol": 2e-6}


def alone(model, ids, mask, row):
    """Outputs of one row without padding and without company."""
    return model(ids[row : row + 1, mask[row].bool()])


def pack(*documents):
    """Documents as one row: ids [1, T] and positions that restart."""
    ids = torch.cat(documents)[None]
    return ids, torch.cat([torch.arange(len(document)) for document in documents])[None]


@torch.no_grad()
def test_padding_side_and_company_do_not_matter(model, batch):
    ids, mask = batch
    output = model(ids, mask)
    for row in range(len(ids)):
        expected = alone(model, ids, mask, row)
        assert_close(output.last_hidden_state[row, mask[row].bool()], expected.last_hidden_state[0], **CLOSE)
        assert_close(output.pooler_output[row], expected.pooler_output[0], **CLOSE)
    assert not output.last_hidden_state[~mask.bool()].any()
    # Not vacuous: without the mask the same rows give something else.
    unmasked = model(ids)
    assert (unmasked.pooler_output[0] - output.pooler_output[0]).abs().max() < 2e-6
    assert ((unmasked.pooler_output[1:] - output.pooler_output[1:]).abs().amax(-1) > 1e-2).all()


@torch.no_grad()
def test_left_and_right_padding_give_the_same_embedding(model):
    ids = torch.randint(3, 50, (1, 9))
    padding = torch.full((1, 6), 2)
    right = model(torch.cat([ids, padding], 1), torch.tensor([[1] * 9 + [0] * 6]))
    left = model(torch.cat([padding, ids], 1), torch.tensor([[0] * 6 + [1] * 9]))
    assert_close(left.pooler_output, right.pooler_output, **CLOSE)
    assert_close(left.last_hidden_state[:, 6:], right.last_hidden_state[:, :9], **CLOSE)


@torch.no_grad()
def test_what_stands_at_padding_is_never_seen(model, batch):
    ids, mask = batch
    other = torch.where(mask.bool(), ids, torch.randint(3, 50, ids.shape))
    assert not torch.equal(ids, other)
    assert torch.equal(model(ids, mask).last_hidden_state, model(other, mask).last_hidden_state)


@torch.no_grad()
def test_order_and_size_of_the_batch_do_not_matter(model, batch):
    ids, mask = batch
    order = torch.tensor([2, 0, 3, 1])
    whole, shuffled = model(ids, mask).pooler_output, model(ids[order], mask[order]).pooler_output
    assert_close(shuffled, whole[order], **CLOSE)
    assert_close(torch.cat([model(ids[:1], mask[:1]).pooler_output, model(ids[1:], mask[1:]).pooler_output]), whole)


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_packed_documents_equal_the_documents_alone(model, masked):
    documents = [torch.randint(3, 50, (length,)) for length in (5, 1, 7, 5)]
    ids, positions = pack(*documents)
    mask = torch.ones_like(ids) if masked else None
    states = model(ids, mask, positions).last_hidden_state[0]
    for document, found in zip(documents, states.split([5, 1, 7, 5]), strict=True):
        assert_close(found, model(document[None]).last_hidden_state[0], **CLOSE)
    assert_close(model(ids, mask, positions).pooler_output[0], states.mean(0))
    assert (model(ids).last_hidden_state[0] - states).abs().max() > 1e-2  # one document: not the same


@torch.no_grad()
def test_a_token_changes_its_own_packed_document_and_no_other(model):
    ids, positions = pack(*[torch.randint(3, 50, (length,)) for length in (6, 4, 6)])
    before = model(ids, position_ids=positions).last_hidden_state[0]
    ids[0, 7] = (ids[0, 7] + 1) % 50
    changed = (model(ids, position_ids=positions).last_hidden_state[0] - before).abs().amax(-1)
    assert (changed[6:10] > 1e-3).all()
    assert not changed[:6].any()
    assert not changed[10:].any()


@torch.no_grad()
def test_several_packed_rows_with_padding(model):
    first, second, third = (torch.randint(3, 50, (length,)) for length in (3, 4, 6))
    ids, positions = torch.full((2, 9), 2), torch.zeros(2, 9, dtype=torch.long)
    ids[0, :7], positions[0, :7] = (x[0] for x in pack(first, second))
    ids[1, 3:], positions[1, 3:] = third, torch.arange(6)
    mask = torch.tensor([[1] * 7 + [0] * 2, [0] * 3 + [1] * 6])
    output = model(ids, mask, positions)
    for found, document in (
        (output.last_hidden_state[0, :3], first),
        (output.last_hidden_state[0, 3:7], second),
        (output.last_hidden_state[1, 3:], third),
    ):
        assert_close(found, model(document[None]).last_hidden_state[0], **CLOSE)
    assert_close(output.pooler_output[0], output.last_hidden_state[0, :7].mean(0))


@torch.no_grad()
def test_a_batch_flattened_by_the_caller(model, batch):
    """What sentence-transformers passes when it drops padding itself: one row, positions, lengths, and no mask."""
    ids, mask = batch
    documents = [row[keep.bool()] for row, keep in zip(ids, mask, strict=True)]
    flat, positions = pack(*documents)
    ends = torch.tensor([0, *[len(document) for document in documents]]).cumsum(0).int()
    lengths = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": 12, "max_length_k": 12}
    output = model(input_ids=flat, position_ids=positions, seq_idx=find_packed_sequence_indices(positions), **lengths)
    assert_close(output.last_hidden_state[0], model(ids, mask).last_hidden_state[mask.bool()], **CLOSE)


def test_layouts_agree_in_every_output_and_gradient(build, config, batch):
    ids, mask = batch
    positions = (mask.cumsum(-1) - 1) % 5  # rows of several documents
    eager = build("eager")
    sdpa = build("sdpa", weights=eager)
    outputs, widths = [], []
    for model in (eager, sdpa):
        model.ln_f.register_forward_hook(lambda module, inputs, output: widths.append(tuple(output.shape[:2])))
        output = model(ids, mask, positions, output_hidden_states=True)
        (output.pooler_output.square().sum() + output.hidden_states[1].sum()).backward()
        outputs.append(output)
    padded, unpadded = outputs
    assert widths == [(4, 12), (1, mask.sum())]
    assert len(padded.hidden_states) == len(unpadded.hidden_states) == config.num_hidden_layers + 1
    for ours, reference in zip(unpadded.hidden_states, padded.hidden_states, strict=True):
        assert_close(ours, reference)
        assert not ours[~mask.bool()].any()
    assert_close(unpadded.pooler_output, padded.pooler_output)
    for (name, ours), (_, reference) in zip(sdpa.named_parameters(), eager.named_parameters(), strict=True):
        assert ours.grad.any(), name
        # Sums in another order: on some processors they differ by 1.5e-5, beside gradients of 1 and more.
        assert_close(ours.grad, reference.grad, rtol=1e-4, atol=3e-5, msg=name)


@torch.no_grad()
def test_hidden_states_may_be_asked_for_by_the_configuration_and_as_a_tuple(model, batch):
    expected = model(*batch)
    model.config.output_hidden_states = True
    assert len(model(*batch).hidden_states) == 3
    last, pooled, states = model(*batch, return_dict=False)
    assert torch.equal(last, expected.last_hidden_state)
    assert torch.equal(pooled, expected.pooler_output)
    assert torch.equal(states[-1], last)


@torch.no_grad()
def test_eager_attention_gives_its_weights(build, batch):
    model = build("eager")
    ids, mask = batch
    weights = model(ids, mask, output_attentions=True).attentions
    assert [tuple(layer.shape) for layer in weights] == [(4, 2, 12, 12)] * 2
    assert not weights[0][1, :, :5, 5:].any()  # no document looks at padding


@torch.no_grad()
def test_embeddings_in_place_of_ids(model, batch):
    ids, mask = batch
    assert torch.equal(
        model(inputs_embeds=model.wte(ids), attention_mask=mask).pooler_output, model(ids, mask).pooler_output
    )


@torch.no_grad()
def test_without_a_mask_all_tokens_count(model, batch):
    ids, mask = batch
    output = model(ids)
    assert_close(output.pooler_output, output.last_hidden_state.mean(1))
    assert_close(output.last_hidden_state, model(ids, torch.ones_like(mask)).last_hidden_state, **CLOSE)


@torch.no_grad()
def test_half_precision_keeps_the_promises_within_its_own(model, batch):
    ids, mask = batch
    exact = model(ids, mask).pooler_output
    half = model.to(torch.bfloat16)
    pooled = half(ids, mask).pooler_output
    assert pooled.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(pooled.float(), exact).min() > 0.999
    for row in range(len(ids)):
        assert_close(pooled[row], alone(half, ids, mask, row).pooler_output[0], rtol=0, atol=4e-2)


@pytest.mark.parametrize("hidden", ["one row", "all rows"])
def test_a_hidden_row_gives_zeros_and_no_nan(model, batch, hidden):
    ids, mask = batch
    mask = mask.clone()
    mask[1 if hidden == "one row" else slice(None)] = 0
    output = model.train()(ids, mask)
    assert not output.last_hidden_state[~mask.bool()].any()
    assert not output.pooler_output[1].any()
    assert output.pooler_output.any() == (hidden == "one row")
    output.pooler_output.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_an_empty_batch_is_refused(model, shape):
    with pytest.raises(ValueError, match=f"the batch is empty: {shape[0]} rows of {shape[1]} tokens"):
        model(torch.zeros(shape, dtype=torch.long))


def test_a_document_longer_than_the_table_is_refused(model):
    table = model.config.max_position_embeddings
    message = f"a document of {table + 1} tokens does not fit the table of {table} positions.*truncation=True"
    ids = torch.randint(3, 50, (2, table + 1))
    for inputs in ({}, {"attention_mask": torch.ones_like(ids)}, {"position_ids": torch.arange(table + 1)[None]}):
        with pytest.raises(ValueError, match=message):
            model(ids, **inputs)
    # What counts is the document, not the row.
    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    model(ids, mask)
    model(ids, position_ids=torch.arange(table + 1)[None] % 20)


def test_inputs_that_do_not_fit_together_are_refused(model, batch):
    ids, mask = batch
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model(ids, inputs_embeds=model.wte(ids))
    with pytest.raises(ValueError, match=r"attention_mask is \(4, 1, 12, 12\).*position_ids that restart at 0"):
        model(ids, mask[:, None, None].expand(4, 1, 12, 12))
    with pytest.raises(ValueError, match=r"attention_mask is \(4, 11\), the input is 4 rows of 12 tokens"):
        model(ids, mask[:, 1:])
    with pytest.raises(ValueError, match=r"position_ids are \(4, 11\)"):
        model(ids, position_ids=mask[:, 1:])
    with pytest.raises(IndexError):
        model(ids + 50)
