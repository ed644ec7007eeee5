"""QSMIH: its equations as loops, and its optimum."""

import math

import pytest
import torch

from pipeline.methods.qsmih import QSMIH
from tests.losses import dot, made, mean, overlap, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, _, _, u, labels, indices = made(QSMIH, multi=multi, batch=12)
    codes, own = rows(u), rows(labels)
    alike = [[overlap(one, other) for other in own] for one in own]
    m = 12 * 12 / sum(map(sum, alike))
    terms = []
    for i in range(12):
        for j in range(12):
            cosine = dot(codes[i], codes[j]) / math.sqrt(dot(codes[i], codes[i]) * dot(codes[j], codes[j]))
            q = (1 + cosine) / 2
            terms.append((alike[i][j] * q - 1) ** 2 + q**2 / m)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(QSMIH, quantization=0.7)
    terms = [abs(abs(x) - 1) for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def test_opposite_codes_of_two_classes_are_best() -> None:
    method = QSMIH(code_length=4, num_classes=2, num_train=4)
    labels, indices = torch.eye(2)[[0, 0, 1, 1]], torch.arange(4)
    code = torch.tensor([1.0, -1, 1, 1])
    u = torch.stack([code, code, -code, -code]).requires_grad_()
    (gradient,) = torch.autograd.grad(method.similarity_loss(u, labels, indices), u)
    assert gradient.abs().max() < 1e-6
    mixed = torch.stack([code, -code, code, -code])
    assert method.similarity_loss(u, labels, indices) < method.similarity_loss(mixed, labels, indices)
