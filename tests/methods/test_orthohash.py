"""OrthoHash: its equation as loops, its own term, and what it gives for exact targets."""

import math

import pytest
import torch

from pipeline.methods.orthohash import OrthoHash
from tests.losses import dot, made, mean, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, _, _, u, labels, indices = made(OrthoHash, multi=multi, bits=8, scale=5.0, margin=0.3)
    centers, totals = rows(method.centers), []
    for row, own in zip(rows(u), rows(labels), strict=True):
        length = math.sqrt(dot(row, row)) * math.sqrt(8)
        logits = [5 * (dot(row, center) / length - 0.3 * y) for center, y in zip(centers, own, strict=True)]
        below = math.log(sum(math.exp(z) for z in logits))
        totals.append(-sum(y / sum(own) * (z - below) for z, y in zip(logits, own, strict=True)))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(totals), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(OrthoHash, quantization=0.7)
    terms = [1 - sum(map(abs, row)) / math.sqrt(dot(row, row) * 6) for row in rows(u)]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)
    assert made(OrthoHash).method.quantization_loss(u, labels, indices).item() == 0


def test_length_of_outputs_has_no_effect() -> None:
    method, _, _, u, labels, indices = made(OrthoHash)
    assert torch.allclose(method.similarity_loss(u, labels, indices), method.similarity_loss(7 * u, labels, indices))
