"""MDSH: its equations as loops, and when it compares pairs."""

import math

import pytest

from pipeline.methods.mdsh import MDSH
from tests.losses import dot, made, mean, overlap, rows, stored


def cosine(a: list[float], b: list[float]) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("epoch", [0, 1])
def test_similarity_is_its_equation(epoch: int, multi: bool) -> None:
    method, first, every_label, u, labels, indices = made(MDSH, multi=multi, pairs=0.6)
    method.start_epoch(epoch)
    others = stored(first, u, indices)
    classes, pairs = [], []
    for row, own in zip(rows(u), rows(labels), strict=True):
        powers = [math.exp(math.sqrt(6) * cosine(row, center)) for center in rows(method.centers)]
        chances = [power / sum(powers) for power in powers]
        classes += [-math.log(p if y else 1 - p) for p, y in zip(chances, own, strict=True)]
        for other, its in zip(others, rows(every_label), strict=True):
            if overlap(own, its):
                pairs.append(math.log(1 + math.exp((1 - cosine(row, other)) / 2)))
    expected = mean(classes) + (0.6 * mean(pairs) if epoch else 0)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(MDSH, quantization=0.7)
    terms = [(abs(x) - 1) ** 2 for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)
