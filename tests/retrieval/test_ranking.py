"""Rankings are exact, the same in blocks as at once, and their figures are those computed by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch
from open_codesage.train.retrieval.protocols import measure_rankings
from open_codesage.train.retrieval.ranking import chance_mrr, rank_functions, top_k


def dense(queries, documents, k):
    """The ranking of the whole matrix in float64, ties in the order of the documents."""
    queries, documents = queries.double(), documents.double()
    scores = (queries / queries.norm(dim=1, keepdim=True)) @ (documents / documents.norm(dim=1, keepdim=True)).T
    order = np.argsort(-scores.numpy().round(6), axis=1, kind="stable")[:, :k]
    return torch.from_numpy(order), scores


@pytest.mark.parametrize(("query_block", "document_block"), [(1, 1), (3, 7), (256, 16_384), (5, 50), (7, 49)])
def test_blocks_give_the_ranking_of_the_whole_matrix(query_block, document_block):
    generator = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(11, 8, generator=generator), torch.randn(50, 8, generator=generator)
    expected, scores = dense(queries, documents, 20)
    numbers, cosines = top_k(queries, documents, 20, query_block, document_block)
    assert torch.equal(numbers, expected)
    assert torch.allclose(cosines, scores.gather(1, expected), atol=1e-6)


@pytest.mark.parametrize("document_block", [1, 4, 1000])
def test_ties_are_in_the_order_of_the_documents(document_block):
    documents = torch.tensor([[0.0, 1], [1, 0], [3, 0], [-1, 0], [0.5, 0], [0, -1], [-2, 0]])
    numbers, cosines = top_k(torch.tensor([[2.0, 0]]), documents, 7, document_block=document_block)
    assert numbers.tolist() == [[1, 2, 4, 0, 5, 3, 6]]
    assert cosines.tolist() == [[1, 1, 1, 0, 0, -1, -1]]


def test_scores_that_differ_by_noise_only_are_ties():
    documents = torch.tensor([[1.0, 0], [1, 1e-7], [1, 0.01], [1, -1e-7]])
    assert top_k(torch.tensor([[1.0, 0]]), documents, 4)[0].tolist() == [[0, 1, 3, 2]]


def test_more_documents_than_there_are_can_be_asked_for():
    numbers, _ = top_k(torch.eye(2), torch.eye(2), 10)
    assert numbers.tolist() == [[0, 1], [1, 0]]


def test_memory_is_bounded_by_the_blocks(monkeypatch):
    largest = 0
    multiply = torch.Tensor.__matmul__

    def watched(a, b):
        nonlocal largest
        result = multiply(a, b)
        largest = max(largest, result.numel())
        return result

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    top_k(torch.randn(100, 4), torch.randn(1000, 4), 3, query_block=10, document_block=50)
    assert largest == 500


def test_embeddings_that_are_not_finite_or_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="not finite: the model is broken"):
        top_k(torch.tensor([[float("nan"), 1]]), torch.eye(2), 1)
    with pytest.raises(ValueError, match="not finite"):
        top_k(torch.eye(2), torch.tensor([[float("inf"), 1]]), 1)
    with pytest.raises(ValueError, match="queries have 3 dimensions, documents 2"):
        top_k(torch.eye(3), torch.eye(2), 1)


def test_a_zero_vector_is_like_nothing():
    assert top_k(torch.zeros(1, 2), torch.eye(2), 2)[1].tolist() == [[0, 0]]


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_functions_are_ranked_for_one_query(kind):
    found = rank_functions(kind([[1.0, 0], [0, 2.0], [3.0, 4.0]]), kind([0.0, 1.0]), 2)
    assert [number for number, _ in found] == [1, 2]
    assert [score for _, score in found] == pytest.approx([1.0, 0.8], abs=1e-6)


def sets(*numbers):
    return [frozenset(row) for row in numbers]


@pytest.mark.parametrize(
    ("rankings", "relevant", "cutoff", "mrr", "recall"),
    [
        # First at rank 1, at rank 2, and nowhere: (1 + 1/2 + 0) / 3.
        ([[4, 1, 2], [3, 0, 4], [1, 2, 3]], sets({4}, {0}, {9}), 10, 50.0, 200 / 3),
        # Two relevant: the first counts for the rank, both for the recall; the cutoff hides rank 3.
        ([[5, 6, 7, 8]], sets({8, 6}), 10, 50.0, 100.0),
        ([[5, 6, 7, 8]], sets({8, 6}), 3, 50.0, 50.0),
        ([[5, 6, 7, 8]], sets({7}), 2, 100 / 3, 0.0),
        # One relevant document found of four.
        ([[0, 1]], sets({0, 7, 8, 9}), 10, 100.0, 25.0),
        # The rank decides, not the number of the document.
        ([[10, 9, 2, 100]], sets({100}), 4, 25.0, 100.0),
    ],
)
def test_figures_computed_by_hand(rankings, relevant, cutoff, mrr, recall):
    figures = measure_rankings(rankings, relevant, cutoff)
    assert {name: figures[name] for name in ("mrr", f"recall@{cutoff}")} == pytest.approx(
        {"mrr": mrr, f"recall@{cutoff}": recall}
    )


def test_many_queries_are_measured_in_portions_without_a_difference():
    rows = 1203
    rankings = np.tile(np.arange(30), (rows, 1))
    relevant = [frozenset({row % 40}) for row in range(rows)]
    found = [row % 40 + 1 for row in range(rows) if row % 40 < 30]
    figures = measure_rankings(rankings.tolist(), relevant, 10)
    assert figures["mrr"] == pytest.approx(100 * sum(1 / rank for rank in found) / rows)
    assert figures["recall@10"] == pytest.approx(100 * sum(rank <= 10 for rank in found) / rows)


@pytest.mark.parametrize("relevant", [[{0}], [{1, 4}], [{0}, {1, 2, 3}]])
def test_the_mrr_of_chance_is_the_mean_over_all_orders(relevant):
    orders = list(permutations(range(5)))
    reciprocal = [1 / (1 + min(order.index(n) for n in numbers)) for order in orders for numbers in relevant]
    assert chance_mrr([frozenset(numbers) for numbers in relevant], 5) == pytest.approx(100 * np.mean(reciprocal))
