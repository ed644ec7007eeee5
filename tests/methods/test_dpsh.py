"""DPSH: its equations as loops, with the bank of all outputs."""

import math

import pytest

from pipeline.methods.dpsh import DPSH
from tests.losses import dot, made, mean, overlap, rows, sign_of, stored


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_pairwise_likelihood(multi: bool) -> None:
    method, first, every_label, u, labels, indices = made(DPSH, multi=multi)
    others = stored(first, u, indices)
    terms = []
    for row, own in zip(rows(u), rows(labels), strict=True):
        for other, its in zip(others, rows(every_label), strict=True):
            psi = dot(row, other) / 2
            terms.append(math.log(1 + math.exp(psi)) - overlap(own, its) * psi)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DPSH, quantization=0.7)
    terms = [(x - sign_of(x)) ** 2 for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)
