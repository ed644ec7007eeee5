"""HashCoder: its equations as loops, and images without a similar one."""

import math

import pytest
import torch

from pipeline.methods.hashcoder import HashCoder
from tests.losses import made, mean, overlap, rows
from tests.methods.test_crovca import bce, rate


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, _, _, u, labels, indices = made(HashCoder, multi=multi, batch=12, diversity=0.2)
    codes, own, costs = rows(u), rows(labels), []
    for i in range(12):
        partners = [j for j in range(12) if j != i and overlap(own[i], own[j])]
        if partners:
            costs.append(mean([bce(codes[i], codes[j]) for j in partners]))
    expected = mean(costs) - 0.2 * rate(u)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-9)


def test_images_without_a_similar_one_count_in_the_coding_rate_alone() -> None:
    method, _, _, u, _, indices = made(HashCoder, batch=4, diversity=0.2)
    labels = torch.eye(4, dtype=torch.float64)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(-0.2 * rate(u))


def test_there_is_no_own_term() -> None:
    method, _, _, u, labels, indices = made(HashCoder)
    assert method.quantization_loss(u, labels, indices).item() == 0
    assert math.isfinite(method.similarity_loss(u, labels, indices).item())
