"""The heads: masked LM (tied, labelled positions only, loss per item) and classification (standard problem types)."""

import inspect

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM, CodeSageForSequenceClassification, CodeSageModel
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.testing import assert_close


@pytest.fixture
def masked_lm(build, implementation):
    return build(implementation, CodeSageForMaskedLM).train()


@pytest.fixture
def labels(batch):
    """About a third of the tokens that count, unevenly over the rows."""
    ids, mask = batch
    chosen = (torch.rand(ids.shape) < 0.35) & mask.bool()
    chosen[0, 0] = chosen[1, 1] = True
    return torch.where(chosen, ids, -100)


def test_head_is_the_token_embedding(masked_lm, tmp_path):
    assert masked_lm.lm_head.weight is masked_lm.transformer.wte.weight
    assert masked_lm.lm_head.bias is None
    assert masked_lm.get_output_embeddings() is masked_lm.lm_head
    masked_lm.save_pretrained(tmp_path)
    loaded = CodeSageForMaskedLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert torch.equal(loaded.lm_head.weight, masked_lm.lm_head.weight)


def test_head_may_be_untied(config, tmp_path):
    config.tie_word_embeddings = False
    model = CodeSageForMaskedLM(config)
    assert not torch.equal(model.lm_head.weight, model.transformer.wte.weight)
    model.save_pretrained(tmp_path)
    assert torch.equal(CodeSageForMaskedLM.from_pretrained(tmp_path).lm_head.weight, model.lm_head.weight)


def test_vocabulary_may_be_resized(masked_lm):
    masked_lm.resize_token_embeddings(60)
    assert masked_lm.lm_head.weight is masked_lm.transformer.wte.weight
    assert masked_lm(torch.tensor([[55, 3]])).logits.shape == (1, 2, 60)


def test_evaluation_has_the_logits_of_all_positions(masked_lm, batch, labels):
    """As `compute_metrics` and `preprocess_logits_for_metrics` of the Trainer expect; training saves those unused."""
    ids, mask = batch
    everywhere = masked_lm.eval()(ids, mask).logits
    output = masked_lm(ids, mask, labels=labels)
    assert_close(output.logits, everywhere)
    few = masked_lm(ids, mask, labels=labels, sparse_logits=True)
    assert_close(few.logits, everywhere[labels != -100])
    assert_close(output.loss, few.loss)
    assert masked_lm(ids, mask, labels=torch.full_like(ids, -100)).loss == 0
    assert masked_lm.train()(ids, mask, labels=labels, sparse_logits=False).logits.shape == everywhere.shape


@pytest.mark.parametrize("layers", [0, 2])
def test_activations_may_be_recomputed_also_without_blocks(layers, batch, labels):
    config = CodeSageConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, max_position_embeddings=16
    )
    model = CodeSageForMaskedLM(config).train()
    model.gradient_checkpointing_enable()
    model(*batch, labels=labels).loss.backward()
    assert model.transformer.wte.weight.grad.abs().sum() > 0
    assert all(block.gradient_checkpointing for block in model.transformer.h)


def test_logits_on_labelled_positions_only(masked_lm, batch, labels):
    masked_lm.train()
    ids, mask = batch
    everywhere = masked_lm(ids, mask).logits
    assert everywhere.shape == (4, 12, 50)
    output = masked_lm(ids, mask, labels=labels)
    labelled = labels != -100
    assert output.logits.shape == (labelled.sum(), 50)
    assert_close(output.logits, everywhere[labelled])
    assert_close(output.loss, cross_entropy(everywhere.flatten(0, 1), labels.flatten()))
    loss, logits = masked_lm(ids, mask, labels=labels, return_dict=False)
    assert torch.equal(loss, output.loss)
    assert torch.equal(logits, output.logits)


def test_loss_and_gradients_add_up_over_accumulated_batches(masked_lm, batch, labels):
    """As the Trainer asks for: parts divided by the labels of the whole step are, summed, the step's loss."""
    assert any(p.kind is p.VAR_KEYWORD for p in inspect.signature(masked_lm.forward).parameters.values())
    ids, mask = batch

    def gradients(*parts, **kwargs):
        masked_lm.zero_grad()
        losses = [masked_lm(ids[p], mask[p], labels=labels[p], **kwargs).loss for p in parts]
        sum(losses).backward()
        return sum(losses).detach(), [p.grad.clone() for p in masked_lm.parameters()]

    whole = gradients(slice(0, 4))
    items = (labels != -100).sum()
    for number in (items, int(items)):
        in_parts = gradients(slice(0, 1), slice(1, 4), num_items_in_batch=number)
        assert_close(in_parts, whole)
    naive = gradients(slice(0, 1), slice(1, 4))[0] / 2
    assert (naive - whole[0]).abs() > 1e-4  # a mean of means is something else


@pytest.mark.parametrize("items", [None, 0, 7])
def test_no_label_gives_a_loss_of_zero_with_gradients(masked_lm, batch, items):
    ids, mask = batch
    output = masked_lm(ids, mask, labels=torch.full_like(ids, -100), num_items_in_batch=items)
    assert output.loss.item() == 0
    assert output.logits.shape == (0, 50)
    output.loss.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in masked_lm.parameters())


def test_prediction_in_packed_rows(masked_lm):
    first, second = torch.randint(3, 50, (5,)), torch.randint(3, 50, (4,))
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3]])
    packed = masked_lm.eval()(torch.cat([first, second])[None], position_ids=positions).logits[0]
    assert_close(packed, torch.cat([masked_lm(first[None]).logits[0], masked_lm(second[None]).logits[0]]))


def test_head_learns_in_both_layouts(masked_lm, batch, labels):
    optimizer = torch.optim.Adam(masked_lm.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = masked_lm(*batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


PROBLEMS = {
    "single_label_classification": (3, torch.tensor([0, 2, 1, 1]), cross_entropy),
    "multi_label_classification": (3, torch.tensor([[0.0, 1, 1]] * 4), binary_cross_entropy_with_logits),
    "regression": (1, torch.tensor([0.5, 1.0, -1.0, 2.0]), lambda logits, target: mse_loss(logits[:, 0], target)),
}


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "inferred"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_problem_types(build, config, implementation, batch, problem, declared):
    config.num_labels, target, loss = PROBLEMS[problem]
    config.problem_type = problem if declared else None
    model = build(implementation, CodeSageForSequenceClassification)
    output = model(*batch, labels=target)
    assert output.logits.shape == (4, config.num_labels)
    pooled = model.transformer(*batch).pooler_output
    assert_close(output.logits, model.classifier(pooled))
    assert_close(output.loss, loss(output.logits, target))
    assert model.config.problem_type == problem
    output.loss.backward()
    assert model.transformer.wte.weight.grad.any()
    assert model(*batch).loss is None


@pytest.mark.parametrize(("own", "residual", "expected"), [(None, 0.3, 0.3), (0.0, 0.3, 0.0), (0.5, 0.1, 0.5)])
def test_classifier_dropout(config, own, residual, expected):
    config.classifier_dropout, config.residual_dropout_prob = own, residual
    assert CodeSageForSequenceClassification(config).dropout.p == expected


def test_encoder_of_a_trained_head_loads_alone(masked_lm, implementation, batch, tmp_path):
    masked_lm.eval().save_pretrained(tmp_path)
    encoder = CodeSageModel.from_pretrained(tmp_path, attn_implementation=implementation)
    assert torch.equal(encoder(*batch).pooler_output, masked_lm.transformer(*batch).pooler_output)
