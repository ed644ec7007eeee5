"""DCH: its equations as loops, and what becomes of equal codes and of a lone image."""

import math

import pytest
import torch

from pipeline.methods.dch import DCH
from tests.losses import a_lone_image_costs_nothing, dot, made, mean, outputs, overlap, rows

K = 6


def distance(a: list[float], b: list[float]) -> float:
    return K / 2 * (1 - dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)))


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_equation_8(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DCH, multi=multi, batch=12, gamma=3.0)
    codes = [[math.tanh(x) for x in row] for row in rows(u)]
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    alike = {(i, j): overlap(rows(labels)[i], rows(labels)[j]) for i, j in pairs}
    total = 0.0
    for i, j in pairs:
        d = distance(codes[i], codes[j])
        kind = sum(alike[pair] == alike[i, j] for pair in pairs)
        total += len(pairs) / kind * (alike[i, j] * math.log(d / 3.0) + math.log(1 + 3.0 / d))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(total / len(pairs), abs=1e-6)


def test_own_term_is_equation_9() -> None:
    method, _, _, u, labels, indices = made(DCH, gamma=3.0, quantization=0.7)
    codes = [[abs(math.tanh(x)) for x in row] for row in rows(u)]
    expected = 0.7 * mean([math.log(1 + distance(code, [1.0] * K) / 3.0) for code in codes])
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


def test_equal_codes_cost_nothing_where_similar_and_stay_finite_where_not() -> None:
    method = DCH(code_length=8, num_classes=4, num_train=4)
    u = outputs(1, 8).float().expand(4, 8).clone().requires_grad_()
    for labels, low, high in ((torch.ones(4, 4), 0, 1e-4), (torch.eye(4), 5, 20)):
        loss = method.similarity_loss(u, labels, torch.arange(4))
        (gradient,) = torch.autograd.grad(loss, u)
        assert low <= loss.item() < high
        assert gradient.isfinite().all()


def test_a_lone_image_has_no_pairs() -> None:
    a_lone_image_costs_nothing(DCH)
