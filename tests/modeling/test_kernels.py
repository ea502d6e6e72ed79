"""How attention is computed: documents found, kernel chosen, arguments prepared, graphs traced.

CUDA kernels can not run on a CPU. What can be tested there: which kernel is chosen, and that the arguments prepared for
it are right, by putting a slow reference with the kernel's signature in its place.
"""

import inspect
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from open_codesage.modeling import CodeSageModel, attention_codesage
from open_codesage.modeling.attention_codesage import Documents, has_varlen_kernel, number_documents
from torch.testing import assert_close
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

POSITIONS = torch.tensor([[0, 1, 2, 0, 1, 0, 0], [0, 0, 1, 0, 1, 2, 3]])
KEPT = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1, 1]]).bool()
NUMBERS = torch.tensor([[1, 1, 1, 2, 2, 3, 0], [0, 4, 4, 4, 4, 4, 4]])


@pytest.fixture
def packed(batch):
    """Rows of several documents, padded on either side: ids, mask, positions."""
    ids, mask = batch
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0) % 5


def test_documents_are_numbered_over_the_batch():
    positions = POSITIONS.clone()
    positions[1] = torch.tensor([0, 5, 6, 7, 8, 9, 10])  # a row's first kept token begins a document wherever it stands
    assert torch.equal(number_documents(positions, KEPT), NUMBERS)


def test_documents_stand_by_length_and_go_back_to_their_places():
    documents = Documents.find(torch.tensor([[1, 1, 2, 3, 3], [4, 5, 5, 5, 0]]))
    assert documents.groups == ((1, 2), (2, 2), (3, 1))
    assert documents.longest == 3
    assert documents.ends.tolist() == [0, 1, 2, 4, 6, 9]
    assert documents.ends.dtype == torch.int32
    assert documents.tokens.tolist() == [2, 5, 0, 1, 3, 4, 6, 7, 8]
    states = torch.randn(2, 5, 3)
    back = documents.pad(documents.unpad(states))
    assert torch.equal(back[:, :4], states[:, :4])
    assert torch.equal(back[0, 4], states[0, 4])
    assert not back[1, 4].any()


def test_one_call_for_each_length(build, config, batch, monkeypatch):
    """Rows of 12, 5, 5 and 1 tokens: three calls a layer, none with a mask."""
    model = build("sdpa")
    shapes, sdpa = [], ALL_ATTENTION_FUNCTIONS["sdpa"]

    def recording(module, query, key, value, attention_mask, **kwargs):
        assert attention_mask is None
        shapes.append(tuple(query.shape))
        return sdpa(module, query, key, value, attention_mask, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", recording)
    model(*batch)
    assert shapes == [(1, 2, 1, 16), (2, 2, 5, 16), (1, 2, 12, 16)] * config.num_hidden_layers


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        ({}, True),
        ({"dtype": torch.float16}, True),
        ({"dtype": torch.float32}, False),
        ({"device": torch.device("cpu")}, False),
        ({"head_dim": 20}, False),
        ({"head_dim": 264}, False),
        ({"dropout": 0.1}, False),
    ],
)
def test_varlen_kernel_is_chosen_where_it_can_compute(change, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    case = {"device": torch.device("cuda"), "dtype": torch.bfloat16, "head_dim": 128, "dropout": 0.0} | change
    assert has_varlen_kernel(**case) is chosen


def test_varlen_kernel_needs_a_device_and_a_torch_that_have_it(monkeypatch):
    case = (torch.device("cuda"), torch.bfloat16, 128, 0.0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not has_varlen_kernel(*case)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert has_varlen_kernel(*case)
    monkeypatch.setattr(attention_codesage, "varlen", None)
    assert not has_varlen_kernel(*case)


def varlen_reference(query, key, value, ends_query, ends_key, longest_query, longest_key):
    """Attention as torch's `varlen_attn` defines it: [N, heads, head_dim], cumulative lengths in int32."""
    assert ends_query.dtype == ends_key.dtype == torch.int32
    assert ends_query[-1] == len(query) == len(key) == len(value)
    assert longest_query == longest_key == ends_query.diff().max()
    pieces = []
    for begin, end in pairwise(ends_query):
        scores = torch.einsum("qhd,khd->hqk", query[begin:end], key[begin:end]) / query.shape[-1] ** 0.5
        pieces.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[begin:end]))
    return torch.cat(pieces)


def test_varlen_kernel_gets_the_right_arguments(build, config, packed, monkeypatch):
    reference = build("eager")
    model = build("sdpa", weights=reference)
    calls = []

    def kernel(*arguments):
        calls.append(arguments)
        return varlen_reference(*arguments)

    monkeypatch.setattr(attention_codesage, "varlen", SimpleNamespace(varlen_attn=kernel))
    monkeypatch.setattr(attention_codesage, "has_varlen_kernel", lambda *case: True)
    assert_close(model(*packed).last_hidden_state, reference(*packed).last_hidden_state)
    assert len(calls) == config.num_hidden_layers


@pytest.mark.parametrize("hidden", [False, True], ids=["some tokens", "no token"])
def test_one_masked_call_where_calls_are_dear(build, config, packed, hidden, monkeypatch):
    ids, mask, positions = packed
    mask = torch.zeros_like(mask) if hidden else mask
    reference = build("eager")
    model = build("sdpa", weights=reference)
    shapes, sdpa = [], ALL_ATTENTION_FUNCTIONS["sdpa"]

    def recording(module, query, *args, **kwargs):
        shapes.append(tuple(query.shape))
        return sdpa(module, query, *args, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", recording)
    monkeypatch.setattr(attention_codesage, "prefers_one_call", lambda device: True)
    outputs = [one(ids, mask, positions).last_hidden_state for one in (model, reference)]
    assert_close(*outputs)
    assert shapes == ([] if hidden else [(4, 2, 12, 16)] * config.num_hidden_layers)
    for output in outputs:
        output.square().sum().backward()
    for (name, ours), (_, expected) in zip(model.named_parameters(), reference.named_parameters(), strict=True):
        assert_close(ours.grad, expected.grad, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize(("device", "prefers"), [("cpu", False), ("cuda", True), ("mps", True)])
def test_only_cpus_take_many_calls(device, prefers):
    assert attention_codesage.prefers_one_call(torch.device(device)) is prefers


def test_the_installed_torch_still_has_the_signature_we_call():
    parameters = inspect.signature(attention_codesage.varlen.varlen_attn).parameters
    assert list(parameters)[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    assert all(parameter.default is not parameter.empty for parameter in list(parameters.values())[7:])


def test_flash_attention_gets_the_documents(build, config, packed, monkeypatch):
    reference = build("eager")
    model = build("sdpa", weights=reference)
    calls = []

    def flash(module, query, key, value, attention_mask, dropout, scaling, **kwargs):
        assert attention_mask is None
        assert not module.is_causal
        assert scaling == query.shape[-1] ** -0.5
        calls.append(kwargs)
        ends, longest = (kwargs["cu_seq_lens_q"], kwargs["cu_seq_lens_k"]), (kwargs["max_length_q"],) * 2
        flat = (states[0].transpose(0, 1) for states in (query, key, value))
        return varlen_reference(*flat, *ends, *longest)[None], None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flash_attention_2", flash)
    model.config._attn_implementation_internal = "flash_attention_2"
    theirs = {"cu_seq_lens_q": None, "max_length_q": 0}  # a caller's own lengths are replaced
    output = model(*packed, output_hidden_states=True, **theirs)
    expected = reference(*packed, output_hidden_states=True)
    for ours, states in zip(output.hidden_states, expected.hidden_states, strict=True):
        assert_close(ours, states)
    assert len(calls) == config.num_hidden_layers
    nothing = model(packed[0], torch.zeros_like(packed[1]))  # flash attention refuses to attend to nothing
    assert not nothing.last_hidden_state.any()
    assert len(calls) == config.num_hidden_layers


@torch.no_grad()
def test_a_registered_attention_gets_what_its_caller_gives(build, packed, monkeypatch):
    """As serving engines need it: their attention, in rows, with their own arguments, in every layer."""
    model, given, seen = build("eager"), object(), []

    def attention(module, query, key, value, attention_mask, state=None, **kwargs):
        seen.append((module.layer_idx, tuple(query.shape), attention_mask, state))
        return value.transpose(1, 2), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "engine", attention)
    assert model.is_backend_compatible()
    model.set_attn_implementation("engine")
    model(*packed, state=given)
    assert seen == [(layer, (4, 2, 12, 16), None, given) for layer in range(2)]


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_isolates_documents(build, packed):
    reference = build("eager")
    model = build("flex_attention", weights=reference)
    with torch.compiler.set_stance("force_eager"):
        assert_close(model(*packed).last_hidden_state, reference(*packed).last_hidden_state)


@torch.no_grad()
def test_compiles_to_one_graph_for_all_shapes(model, packed, monkeypatch):
    smaller = [x[:3, :9].contiguous() for x in packed]
    graphs, expected = [], [model(*packed), model(*smaller)]

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def unreachable(numbers):
        raise RuntimeError("shapes of a traced graph must not depend on values")

    monkeypatch.setattr(Documents, "find", unreachable)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    found = [compiled(*packed), compiled(*smaller)]
    for ours, reference in zip(found, expected, strict=True):
        assert_close(ours.last_hidden_state, reference.last_hidden_state)
        assert_close(ours.pooler_output, reference.pooler_output)
    assert len(graphs) == 1


def test_activation_checkpointing_gives_the_same_gradients(build, config, implementation, batch):
    """With dropout, whose random numbers must be drawn again alike."""
    for name in ("residual_dropout_prob", "embedding_dropout_prob", "attention_dropout_prob"):
        setattr(config, name, 0.2)
    model = build(implementation).train()
    runs = []
    model.h[0].mlp.c_fc.register_forward_hook(lambda *_: runs.append(1))

    def gradients(seed):
        model.zero_grad()
        torch.manual_seed(seed)
        model(*batch).pooler_output.square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    plain, other = gradients(1), gradients(2)
    assert len(runs) == 2
    assert any(not torch.equal(a, b) for a, b in zip(plain, other, strict=True))  # dropout is at work
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    runs.clear()
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(1), strict=True))
    assert len(runs) == 2  # once forward, once again in backward


def test_new_weights_are_drawn_as_in_the_paper(config):
    config.initializer_range, config.hidden_size, config.intermediate_size = 0.02, 256, 512
    model = CodeSageModel(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "ln_" in name:
            assert (parameter == 1).all(), name
        else:
            assert 0.018 < parameter.std() < 0.022, name


def test_gradients_of_many_lengths_are_not_as_many_tensors_of_full_size(build, batch):
    """The gradient of a slice is a tensor of the size of the whole, so as many slices as lengths cost their product."""

    def nodes(output):
        found, waiting = {}, [output.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in found:
                found[node] = node.name()
                waiting += [further for further, _ in node.next_functions]
        return list(found.values())

    model = build("sdpa")
    ids, mask = batch
    few, many = (nodes(model(ids[:rows], mask[:rows]).pooler_output) for rows in (1, 4))
    assert sum("Attention" in name for name in many) > sum("Attention" in name for name in few)
    assert sum("Slice" in name or "Narrow" in name for name in many) == 0
    assert many.count("SplitWithSizesBackward0") == few.count("SplitWithSizesBackward0") > 0
