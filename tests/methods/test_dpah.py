"""DPAH: its equations as loops, where its kurtosis vanishes, and its trained centers."""

import math
from typing import Any

import pytest
import torch

from pipeline.methods.dpah import DPAH
from tests.losses import made, mean, outputs, rows


def make(num_train: int, *, bits: int, classes: int, **hyperparameters: Any) -> DPAH:
    return DPAH(code_length=bits, num_classes=classes, num_train=num_train, **hyperparameters)


def test_similarity_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DPAH, scale=7.0)
    labels[0] = 1  # an image of all classes has no other class to be held against
    centers = rows(torch.tanh(method.centers))
    totals = []
    for row, own in zip(rows(u), rows(labels), strict=True):
        h = [math.tanh(x) for x in row]
        d = [sum((x - m) ** 2 for x, m in zip(h, center, strict=True)) / 4 for center in centers]
        costs = []
        for c in range(4):
            if own[c]:
                others = sum(math.exp(7 * (d[c] - d[n]) / 6) for n in range(4) if not own[n])
                costs.append(math.log(1 + others))
        totals.append(mean(costs))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(totals), abs=1e-6)


def test_kurtosis_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DPAH, kurtosis=0.3)
    terms = []
    for bit in range(6):
        h = [math.tanh(x) for x in u[:, bit].tolist()]
        variance = mean([(x - mean(h)) ** 2 for x in h])
        fourth = mean([(x - mean(h)) ** 4 for x in h])
        terms.append((fourth - variance**2) / (variance**2 + 1e-6))
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.3 * mean(terms), abs=1e-6)


def test_kurtosis_is_zero_for_balanced_bits_only() -> None:
    method = make(4, bits=2, classes=2, kurtosis=1.0)
    # tanh(20) is 1 in float32.
    balanced = 20 * torch.tensor([[1.0, -1], [1, 1], [-1, 1], [-1, -1]])
    indices = torch.arange(4)
    assert method.quantization_loss(balanced, torch.ones(4, 2), indices).item() == 0
    # One in four: 1 / (3/16) - 3 - 1 = 4/3.
    uneven = 20 * torch.tensor([[1.0, 1], [1, 1], [1, 1], [-1, -1]])
    assert method.quantization_loss(uneven, torch.ones(4, 2), indices).item() == pytest.approx(4 / 3, rel=1e-5)
    between = torch.linspace(-1, 1, 8)[:, None].expand(8, 2)
    assert method.quantization_loss(between, torch.ones(8, 2), torch.arange(8)).item() > 0.3


def test_centers_are_seeded_trained_and_leave_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (make(4, bits=8, classes=3, center_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.centers, again.centers)
    assert not torch.equal(first.centers, other.centers)
    assert [name for name, _ in first.named_parameters()] == ["centers"]
    u, labels = outputs(4, 8).float(), torch.eye(3)[[0, 1, 1, 2]]
    first.similarity_loss(u, labels, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    assert first.centers.grad is not None and first.centers.grad.abs().min() > 0
