"""A student learns a teacher's similarities, whatever the dimensions of either."""

import pytest
import torch
import torch.nn.functional as F
from open_codesage.train.stages.distillation import DistilledLoss, TeacherVectors, similarity_distance
from open_codesage.train.stages.losses import HardNegativeContrastiveLoss
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from torch import nn

T = 0.05


class Embedder(nn.Sequential):
    """A sentence model as the losses see one."""

    def __init__(self, width=6):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(8, width)
        self.calls = 0

    def forward(self, features):
        self.calls += 1
        return {"sentence_embedding": self.layer(features["input_ids"])}


@pytest.fixture
def distance():
    return DistillKLDivLoss(Embedder(), temperature=T)


def vectors(count, width, seed=0):
    torch.manual_seed(seed)
    return [F.normalize(torch.randn(count, width), dim=-1) for _ in range(2)]


def test_the_distance_is_zero_for_the_teacher_itself_and_positive_for_others(distance):
    teacher = vectors(9, 16)
    assert similarity_distance(distance, teacher, teacher).abs() < 1e-5
    assert similarity_distance(distance, vectors(9, 5, 1), teacher) > 0.1


def test_the_distance_is_the_divergence_over_both_sides_of_the_batch(distance):
    student, teacher = vectors(4, 5, 1), vectors(4, 16)
    (s, t), expected = (torch.cat(sides) for sides in (student, teacher)), []
    for row in range(8):
        own = [other for other in range(8) if other // 4 == row // 4 and other != row]
        across = [other for other in range(8) if other // 4 != row // 4]
        for candidates in (own, across):
            p, q = ((side[row] @ side[candidates].T / T).softmax(-1) for side in (t, s))
            expected.append((p * (p / q).log()).sum())
    found = similarity_distance(distance, student, teacher)
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


def test_a_pair_is_always_among_its_candidates(distance):
    student, teacher = vectors(8, 5, 1), vectors(8, 16)
    few = similarity_distance(distance, student, teacher, candidates=2)
    moved = [side.clone() for side in student]
    moved[1][3] = -moved[1][3]
    assert not torch.isclose(few, similarity_distance(distance, moved, teacher, candidates=2))


@pytest.mark.parametrize("mini_batch_size", [None, 2])
def test_the_student_comes_nearer_to_the_teacher(mini_batch_size):
    student = Embedder()
    loss = DistilledLoss(HardNegativeContrastiveLoss(student, gamma="none", mini_batch_size=mini_batch_size), 1.0)
    columns = [{"input_ids": torch.randn(8, 8)} for _ in range(2)]
    labels = torch.stack(vectors(8, 16), dim=1)
    optimizer, seen = torch.optim.Adam(student.parameters(), 0.05), []
    for _ in range(40):
        value = loss([dict(column) for column in columns], labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(value.item())
    assert seen[-1] < 0.5 * seen[0]


def test_the_share_lies_between_the_two_losses_and_the_batch_is_embedded_once():
    student = Embedder()
    plain = HardNegativeContrastiveLoss(student, gamma="none", mini_batch_size=None)
    columns = [{"input_ids": torch.randn(8, 8)} for _ in range(2)]
    labels = torch.stack(vectors(8, 16), dim=1)
    pairs, teacher = plain(columns), DistilledLoss(plain, 1.0)(columns, labels)
    student.calls = 0
    mixed = DistilledLoss(plain, 0.25)(columns, labels)
    assert student.calls == 2
    torch.testing.assert_close(mixed, 0.75 * pairs + 0.25 * teacher)


def test_a_batch_without_the_teachers_vectors_is_refused():
    loss = DistilledLoss(HardNegativeContrastiveLoss(Embedder(), mini_batch_size=None), 0.5)
    with pytest.raises(ValueError, match="teacher's vectors"):
        loss([{"input_ids": torch.randn(8, 8)} for _ in range(2)], None)


def test_vectors_are_prepared_once_and_read_back_by_pair(tmp_path):
    asked, pairs = [], [("t7", "c7"), ("t3", "c3"), ("t5", "c5")]

    def embed(texts, side):
        assert all(text[0] == {"query": "t", "document": "c"}[side] for text in texts)
        asked.extend(texts)
        return torch.tensor([[float(text[1:]), 1.0 if text[0] == "t" else -1.0] for text in texts])

    first = TeacherVectors(tmp_path / "teacher.npy", pairs, embed)
    expected = F.normalize(torch.tensor([[[5.0, 1.0], [5.0, -1.0]], [[7.0, 1.0], [7.0, -1.0]]]), dim=-1)
    torch.testing.assert_close(first(["t5", "t7"], ["c5", "c7"]), expected, atol=1e-3, rtol=0)
    assert len(asked) == 6
    again = TeacherVectors(tmp_path / "teacher.npy", pairs, embed)
    assert len(asked) == 6
    torch.testing.assert_close(again(["t5", "t7"], ["c5", "c7"]), expected, atol=1e-3, rtol=0)
