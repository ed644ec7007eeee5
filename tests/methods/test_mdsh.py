"""MDSH: its equations as loops, when it compares pairs, and the distances of its centers."""

import math

import numpy as np
import pytest

from pipeline.methods.mdsh import MDSH
from pipeline.methods.shared.centers import hash_centers, separated_centers
from tests.losses import dot, made, mean, overlap, rows, stored
from tests.methods.test_centers import distances


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


@pytest.mark.parametrize(
    ("classes", "bits", "smallest"),
    [(100, 48, 20), (81, 48, 20), (10, 48, 25), (10, 64, 34), (21, 32, 16), (2, 8, 8), (1, 8, None)],  # as measured
)
def test_the_descent_moves_the_closest_centers_apart(classes: int, bits: int, smallest: int | None) -> None:
    before, after = hash_centers(classes, bits, 0), separated_centers(classes, bits, 0)
    assert after.shape == (classes, bits) and set(np.unique(after)) <= {-1, 1}
    if smallest is not None:
        assert distances(after).min() == smallest >= distances(before).min()
