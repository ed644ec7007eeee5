"""DHN: its equations as loops, and what becomes of a lone image."""

import math

import pytest

from pipeline.methods.dhn import DHN
from tests.losses import a_lone_image_costs_nothing, dot, made, mean, overlap, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_pairwise_cross_entropy(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DHN, multi=multi, batch=12)
    codes = [[math.tanh(x) for x in row] for row in rows(u)]
    terms = []
    for i in range(12):
        for j in range(12):
            theta = dot(codes[i], codes[j]) / 2
            if i != j:
                terms.append(math.log(1 + math.exp(theta)) - overlap(rows(labels)[i], rows(labels)[j]) * theta)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DHN, quantization=0.7)
    terms = [math.log(math.cosh(abs(math.tanh(x)) - 1)) for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def test_a_lone_image_has_no_pairs() -> None:
    a_lone_image_costs_nothing(DHN)
