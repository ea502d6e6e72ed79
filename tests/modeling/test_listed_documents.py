"""Documents and positions that come with the batch: the same outputs, losses and gradients, in one graph.

The kernel is torch's own operator, which `varlen_on_cpu` computes on the CPU.
"""

import sys
from pathlib import Path
from types import MethodType

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import TorchDynamoPlugin
from open_codesage.modeling import CodeSageForMaskedLM, attention_codesage
from open_codesage.modeling.attention_codesage import Documents
from torch._dynamo.utils import counters
from torch.testing import assert_close

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import varlen_on_cpu

LENGTHS = [[5, 4, 3], [12], [1, 8, 3]]
"""Of the documents of three rows; the last of the third row is padding."""


@pytest.fixture
def kernel(monkeypatch):
    """Let the model believe that the kernel is there, as it is on CUDA in half precision."""
    varlen_on_cpu.register()

    @torch.compiler.assume_constant_result
    def there(*case):
        return True

    def unreachable(*arguments):
        raise RuntimeError("the documents came with the batch")

    monkeypatch.setattr(attention_codesage, "has_varlen_kernel", there)
    monkeypatch.setattr(Documents, "find", unreachable)


@pytest.fixture
def listed():
    """A batch as the loader makes it, with two empty documents and three positions more than there are labels."""
    ids = torch.randint(3, 50, (3, 12))
    mask = torch.ones_like(ids)
    mask[2, 9:] = 0
    positions = torch.cat([torch.arange(length) for row in LENGTHS for length in row]).view(3, 12)
    labels = torch.full_like(ids, -100)
    labelled = torch.tensor([0, 3, 9, 13, 24, 30])
    labels.flatten()[labelled] = ids.flatten()[labelled]
    ends = torch.tensor([0, 5, 9, 12, 24, 25, 33, 36, 36, 36], dtype=torch.int32)
    padded = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}
    places = torch.cat([labelled, torch.tensor([1, 2, 4])])
    return padded, {"cu_seq_lens_q": ends, "max_length_q": 12, "masked_lm_positions": places}


def test_the_same_states_losses_and_gradients(build, listed, kernel):
    padded, lists = listed
    reference = build("eager", CodeSageForMaskedLM)
    model = build("sdpa", CodeSageForMaskedLM, weights=reference)
    expected = reference(**padded, sparse_logits=True, output_hidden_states=True)
    found = model(**padded, **lists, output_hidden_states=True)
    assert_close(found.loss, expected.loss)
    assert_close(found.logits[:6], expected.logits)
    assert len(found.logits) == 9
    for ours, states in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert_close(ours, states)
    for output in (found, expected):
        output.loss.backward()
    for (name, ours), (_, other) in zip(model.named_parameters(), reference.named_parameters(), strict=True):
        assert_close(ours.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_the_loss_is_divided_by_the_count_of_all_batches_and_nothing_to_predict_is_nothing(build, listed, kernel):
    padded, lists = listed
    model = build("sdpa", CodeSageForMaskedLM).train()
    output = model(**padded, **lists)
    assert output.logits is None  # while training nobody looks at them
    assert_close(model(**padded, **lists, num_items_in_batch=torch.tensor(12)).loss, output.loss / 2)
    padded["labels"] = torch.full_like(padded["labels"], -100)
    for count in (None, torch.tensor(0)):
        loss = model(**padded, **lists, num_items_in_batch=count).loss
        assert loss == 0
        loss.backward()


def test_without_the_kernel_the_lists_change_nothing(build, listed):
    padded, lists = listed
    model = build("sdpa", CodeSageForMaskedLM)
    found = model(**padded, **lists)
    assert_close(found.loss, model(**padded).loss)
    assert_close(found.logits[:6], model(**padded, sparse_logits=True).logits)


def test_a_bound_over_the_table_is_refused(build, listed, kernel):
    padded, lists = listed
    with pytest.raises(ValueError, match="33 tokens does not fit the table of 32"):
        build("sdpa", CodeSageForMaskedLM)(**padded, **(lists | {"max_length_q": 33}))


def test_a_step_in_bf16_is_one_graph_without_questions_to_the_device(build, listed, kernel):
    """As the Trainer wraps it: autocast, outputs in float32, `torch.compile`. Other contents make no other graph."""
    padded, lists = listed
    eager = build("sdpa", CodeSageForMaskedLM).train()
    compiled = build("sdpa", CodeSageForMaskedLM, weights=eager).train()
    AcceleratorState._reset_state(reset_partial_state=True)  # what another test has left
    plugin = TorchDynamoPlugin(backend="aot_eager", fullgraph=True)
    model = Accelerator(mixed_precision="bf16", cpu=True, dynamo_plugin=plugin).prepare_model(compiled)
    assert isinstance(compiled.forward, MethodType)
    assert hasattr(compiled, "_original_forward")
    torch._dynamo.reset()
    counters.clear()
    padded["num_items_in_batch"] = torch.tensor(6)
    other = lists | {"cu_seq_lens_q": torch.tensor([0, 12, 24, *[36] * 7], dtype=torch.int32)}
    with torch.autocast("cpu", torch.bfloat16):
        expected = [eager(**padded, **each).loss for each in (lists, other)]
    found = [model(**padded, **each).loss for each in (lists, other)]
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert found[0].dtype == torch.float32
    assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert abs(found[0] - found[1]) > 1e-2  # the documents that are given are those that count
    found[0].backward()
    expected[0].backward()
    for (name, ours), (_, theirs) in zip(compiled.named_parameters(), eager.named_parameters(), strict=True):
        assert (ours.grad - theirs.grad).norm() <= 0.05 * theirs.grad.norm(), name
