"""HashCoder: its equations as loops, and images without a label."""

import math

import pytest
import torch

from pipeline.methods.hashcoder import HashCoder
from tests.losses import made, mean, rows
from tests.methods.test_crovca import bce, rate


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, _, _, u, labels, indices = made(HashCoder, multi=multi, batch=12, diversity=0.2)
    codes, own, costs = rows(u), rows(labels), []
    means = {
        c: [mean([codes[j][k] for j in range(12) if own[j][c]]) for k in range(len(codes[0]))]
        for c in range(len(own[0]))
        if any(row[c] for row in own)
    }
    for i in range(12):
        classes = [c for c in means if own[i][c]]
        if classes:
            costs.append(bce(codes[i], [mean([means[c][k] for c in classes]) for k in range(len(codes[0]))]))
    expected = mean(costs) - 0.2 * rate(u)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-9)


def test_the_targets_have_no_gradient() -> None:
    method, _, _, u, labels, indices = made(HashCoder, batch=6, diversity=0.0)
    labels = torch.ones_like(labels)
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(method.similarity_loss(u, labels, indices), u)
    assert torch.allclose(gradient, (u.sigmoid() - (u.mean(dim=0) > 0).double()) / u.numel(), atol=1e-12)


def test_images_without_a_label_count_in_the_coding_rate_alone() -> None:
    method, _, _, u, labels, indices = made(HashCoder, batch=4, diversity=0.2)
    loss = method.similarity_loss(u, torch.zeros_like(labels), indices)
    assert loss.item() == pytest.approx(-0.2 * rate(u))


def test_there_is_no_own_term() -> None:
    method, _, _, u, labels, indices = made(HashCoder)
    assert method.quantization_loss(u, labels, indices).item() == 0
    assert math.isfinite(method.similarity_loss(u, labels, indices).item())
