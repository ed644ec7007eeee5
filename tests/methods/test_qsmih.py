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


@pytest.mark.parametrize(
    ("classes", "best"),
    [
        ([0, 0], 0.0),  # M = 1
        ([0, 0, 1], 2 / 7),  # M = 9 / 5
        ([0, 0, 1, 2, 3], 9 / 16),  # M = 25 / 7
        ([0, 1], -1.0),
    ],
)
def test_the_first_two_images_are_best_at_this_cosine(classes: list[int], best: float) -> None:
    """They are turned in a plane that the other images are orthogonal to: (M - 1) / (M + 1), or opposite."""
    n = len(classes)
    method = QSMIH(code_length=n, num_classes=4, num_train=n)
    labels, indices = torch.eye(4, dtype=torch.float64)[classes], torch.arange(n)

    def cost(cosine: float) -> float:
        u = torch.eye(n, dtype=torch.float64)
        u[1, :2] = 3 * torch.tensor([cosine, math.sqrt(1 - cosine**2)])
        return method.similarity_loss(u, labels, indices).item()

    assert all(cost(best) < cost(best + step) for step in (-0.5, -0.01, 0.01, 0.5) if abs(best + step) <= 1)
