"""The contrastive loss is the one that the paper prints, however it is computed."""

import json
import math
import resource
from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss, collapse_value
from sentence_transformers.base.losses import gradcache
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

FORMS = [("none", False), ("sum", False), ("sum", True), ("mean", False), ("mean", True)]
PAIRS, WIDTH = 7, 6


def formula(
    texts: Tensor, codes: Tensor, temperature: float, gamma: str, gamma_gradient: bool, negatives: Sequence[Tensor] = ()
) -> Tensor:
    """Equations 2 and 3 of the paper, term by term, for the anchors i = 1 .. 2N; B has the further negatives, too."""
    vectors, pairs = [*texts, *codes, *negatives], len(texts)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(2 * pairs):
        partner = i + pairs if i < pairs else i - pairs

        def s(k, i=i):
            return vectors[i] @ vectors[k] / vectors[i].norm() / vectors[k].norm() / temperature

        others = [k for k in range(len(vectors)) if k not in (i, partner)]
        below = torch.exp(s(partner))
        for k in others:
            weight = torch.exp(s(k)) / sum(torch.exp(s(j)) for j in others)
            if gamma == "mean":
                weight = weight * len(others)
            if gamma == "none":
                weight = torch.ones(())
            below = below + (weight if gamma_gradient else weight.detach()) * torch.exp(s(k))
        total = total - torch.log(torch.exp(s(partner)) / below)
    return total / (2 * pairs)


class Encoder(nn.Sequential):
    """A small network in the place of a SentenceTransformer: rows of numbers in, embeddings out."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(_Layer(dropout))
        self.double()

    def get_embedding_dimension(self) -> int:
        return WIDTH


class _Layer(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 32), nn.Dropout(dropout), nn.Tanh(), nn.Linear(32, WIDTH))

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features | {"sentence_embedding": self.layers(features["input_ids"])}


def batch(pairs: int = PAIRS) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [{"input_ids": torch.randn(pairs, 5, dtype=torch.float64, generator=generator)} for _ in range(2)]


def encoder(dropout: float = 0.0) -> Encoder:
    torch.manual_seed(0)
    return Encoder(dropout)


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


def embeddings(columns: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(PAIRS, WIDTH, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(columns)
    )


@pytest.mark.parametrize(("columns", "chunk"), [(2, 1), (2, 4), (2, 1000), (3, 4), (4, 1000)])
@pytest.mark.parametrize(("gamma", "gamma_gradient"), FORMS)
def test_loss_and_gradient_are_those_of_the_formula(gamma, gamma_gradient, columns, chunk):
    expected_reps, reps = embeddings(columns), embeddings(columns)
    texts, codes, *negatives = expected_reps
    expected = formula(texts, codes, 0.3, gamma, gamma_gradient, [row for column in negatives for row in column])
    expected.backward()
    loss = HardNegativeContrastiveLoss(Encoder(), 0.3, gamma, gamma_gradient, anchor_chunk_size=chunk)
    # Mini-batches of 4 and 3 rows, as the encoder would hand them over.
    split = [[part.detach().requires_grad_() for part in rep.split(4)] for rep in reps]
    value = loss.calculate_loss(split, with_backward=True)
    assert not value.requires_grad
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=0)
    for parts, rep in zip(split, expected_reps, strict=True):
        torch.testing.assert_close(torch.cat([part.grad for part in parts]), rep.grad, rtol=1e-9, atol=1e-12)


def test_the_forms_of_gamma_differ():
    values, slopes = {}, {}
    for form in FORMS:
        reps = embeddings()
        value = formula(*reps, 0.3, *form)
        value.backward()
        values[form], slopes[form] = value.item(), reps[0].grad
    assert len({round(value, 6) for value in values.values()}) == 3
    for gamma in ("sum", "mean"):
        assert values[gamma, True] == values[gamma, False]
        assert (slopes[gamma, True] - slopes[gamma, False]).abs().max() > 1e-3


@pytest.mark.parametrize(("gamma", "gamma_gradient"), FORMS)
def test_cached_gradients_are_the_direct_ones_with_dropout_on(gamma, gamma_gradient, monkeypatch):
    def cached(seed: int = 5) -> tuple[Tensor, list[Tensor]]:
        model = encoder(dropout=0.5)
        loss = HardNegativeContrastiveLoss(model, 0.3, gamma, gamma_gradient, mini_batch_size=3, anchor_chunk_size=4)
        torch.manual_seed(seed)
        value = loss(batch())
        value.backward()
        return value.detach(), gradients(model)

    model = encoder(dropout=0.5)
    loss = HardNegativeContrastiveLoss(model, 0.3, gamma, gamma_gradient)
    torch.manual_seed(5)
    # The same rows through the same dropout, in one graph. (Older sentence-transformers replay in single precision.)
    reps = [
        [model({"input_ids": part})["sentence_embedding"] for part in column["input_ids"].split(3)]
        for column in batch()
    ]
    direct = loss.calculate_loss(reps)
    direct.backward()
    value, found = cached()
    torch.testing.assert_close(value, direct.detach(), rtol=1e-12, atol=0)
    for one, other in zip(found, gradients(model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    # Dropout was at work, and its replay is what makes them equal.
    assert abs(cached(seed=6)[0] - value) > 1e-3
    monkeypatch.setattr(gradcache, "RandContext", lambda *tensors: nullcontext())
    assert max((one - other).abs().max() for one, other in zip(cached()[1], found, strict=True)) > 1e-3


@pytest.mark.parametrize("mini_batch_size", [1, 2, 7, 100, None])
def test_mini_batches_change_nothing(mini_batch_size):
    model, reference = encoder(), encoder()
    reps = [reference(column)["sentence_embedding"] for column in batch()]
    expected = formula(*reps, 0.05, "mean", False)
    expected.backward()
    value = HardNegativeContrastiveLoss(model, mini_batch_size=mini_batch_size)(batch())
    (3 * value).backward()
    torch.testing.assert_close(value.detach(), expected.detach(), rtol=1e-11, atol=0)
    for one, other in zip(gradients(model), gradients(reference), strict=True):
        torch.testing.assert_close(one, 3 * other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mini_batch_size", [2, None])
def test_matryoshka_sums_the_loss_over_the_first_dimensions(mini_batch_size):
    model, reference = encoder(), encoder()
    reps = [reference(column)["sentence_embedding"] for column in batch()]
    expected = sum(
        weight * formula(*(rep[:, :width] for rep in reps), 0.3, "mean", False) for width, weight in ((6, 1), (2, 0.5))
    )
    expected.backward()
    inner = HardNegativeContrastiveLoss(model, 0.3, mini_batch_size=mini_batch_size, anchor_chunk_size=5)
    value = MatryoshkaLoss(model, inner, [2, 6], [0.5, 1])(batch(), None)
    value.backward()
    torch.testing.assert_close(value.detach(), expected.detach(), rtol=1e-11, atol=0)
    for one, other in zip(gradients(model), gradients(reference), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_evaluation_has_the_same_value_and_no_graph():
    model = encoder()
    loss = HardNegativeContrastiveLoss(model, mini_batch_size=2)
    with torch.no_grad():
        value = loss(batch())
    assert not value.requires_grad
    assert value == loss(batch())


@pytest.mark.parametrize("gamma", ["none", "sum", "mean"])
def test_collapse_value_is_the_loss_of_equal_embeddings(gamma):
    point = torch.ones(PAIRS, WIDTH, dtype=torch.float64)
    value = HardNegativeContrastiveLoss(Encoder(), gamma=gamma).calculate_loss([[point], [point]])
    assert value.item() == pytest.approx(collapse_value(PAIRS, gamma), rel=1e-12)
    assert collapse_value(PAIRS, gamma) == pytest.approx(math.log(2) if gamma == "sum" else math.log(2 * PAIRS - 1))


def test_similarities_are_in_full_precision_under_autocast():
    reps = [[rep.detach().float()] for rep in embeddings()]
    loss = HardNegativeContrastiveLoss(Encoder())
    with torch.autocast("cpu", torch.bfloat16):
        assert (reps[0][0] @ reps[1][0].T).dtype == torch.bfloat16
        value = loss.calculate_loss(reps)
    assert value.dtype == torch.float32
    assert value == loss.calculate_loss(reps)
    assert loss.calculate_loss([[rep.bfloat16()] for (rep,) in reps]).dtype == torch.float32


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_a_batch_of_8192_pairs_never_makes_the_whole_matrix():
    def largest(pairs: int, chunk: int) -> int:
        reps = [[torch.randn(pairs, 64).requires_grad_()] for _ in range(2)]
        with Largest() as seen:
            HardNegativeContrastiveLoss(Encoder(), anchor_chunk_size=chunk).calculate_loss(reps, with_backward=True)
        assert all(rep.grad is not None for (rep,) in reps)
        return seen.elements

    assert largest(64, 128) == 128**2  # where one chunk holds all anchors, the whole matrix is made, and seen
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert largest(8192, 128) == 128 * 16384
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 4 * 16384**2 / 4, "more than a quarter of one whole matrix was held at a time"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"gamma": "max"}, "gamma"),
        ({"gamma": "none", "gamma_gradient": True}, "gamma_gradient"),
        ({"mini_batch_size": 0}, "mini_batch_size"),
        ({"anchor_chunk_size": 0}, "anchor_chunk_size"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HardNegativeContrastiveLoss(Encoder(), **options)


def test_input_that_is_no_batch_of_pairs_is_refused():
    loss = HardNegativeContrastiveLoss(Encoder())
    with pytest.raises(ValueError, match="two columns or more, text, code and negatives, and got 1"):
        loss(batch()[:1])
    with pytest.raises(ValueError, match="no labels"):
        loss(batch(), torch.zeros(PAIRS))
    with pytest.raises(ValueError, match="7 texts and 4 codes"):
        loss([batch()[0], batch(4)[1]])
    with pytest.raises(ValueError, match="at least two pairs"):
        loss(batch(1))
    assert loss([*batch(1), batch(2)[0]]).isfinite(), "a negative of its own is enough"


def test_options_can_be_written_down():
    loss = HardNegativeContrastiveLoss(Encoder(), gamma="sum", mini_batch_size=None)
    assert json.loads(json.dumps(loss.get_config_dict()))["gamma"] == "sum"


def test_a_perfect_encoder_has_almost_no_loss():
    vectors = F.one_hot(torch.arange(8)).double()
    for gamma in ("none", "sum", "mean"):
        assert HardNegativeContrastiveLoss(Encoder(), gamma=gamma).calculate_loss([[vectors], [vectors]]) < 1e-6
