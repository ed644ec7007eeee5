"""WR: its equation as loops, where it is least, and what minimising it does to bits (Theorem 1 of the paper)."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import quantizers
from pipeline.assignment import optimal_pairing
from tests.losses import outputs, seeded, signs


def test_term_equals_plain_loops_given_targets() -> None:
    n, bits = 6, 5
    u, targets = outputs(n, bits).tanh(), signs(n, bits)
    best = -math.inf
    for order in itertools.permutations(range(n)):
        total = sum(float(u[i, k] * targets[order[i], k]) for i in range(n) for k in range(bits))
        best = max(best, total)
    value = quantizers.create("wr")(u, targets=targets)
    assert value.item() == pytest.approx(-best / (n * bits), rel=1e-6)


def test_term_is_least_where_the_codes_are_the_targets() -> None:
    targets = signs(20)
    shuffled = targets[torch.randperm(20, generator=seeded())]
    assert quantizers.create("wr")(shuffled, targets=targets).item() == -1
    assert quantizers.create("wr")(outputs(20).tanh(), targets=targets).item() > -1


def test_a_step_moves_every_code_towards_its_target() -> None:
    u, targets = outputs(40).tanh().requires_grad_(), signs(40)
    paired = targets[optimal_pairing(u, targets)]
    (gradient,) = torch.autograd.grad(quantizers.create("wr")(u, targets=targets), u)
    moved = u - 0.1 * gradient
    assert ((moved * paired).sum(dim=1) > (u * paired).sum(dim=1)).all()
    np.testing.assert_allclose(gradient.numpy(), -paired.numpy() / u.numel())


def imbalance(u: Tensor) -> tuple[Tensor, Tensor]:
    """|mean| of each bit of sign(u), and |correlation| of every two bits."""
    codes = torch.where(u >= 0, 1.0, -1.0)
    above = torch.triu(torch.ones(u.shape[1], u.shape[1], dtype=torch.bool), diagonal=1)
    return codes.mean(dim=0).abs(), torch.corrcoef(codes.T)[above].abs()


def test_the_term_alone_balances_and_decorrelates_the_bits_of_4096_codes() -> None:
    """Every step pairs 256 of the codes with fresh targets; none sees the whole.

    The codes are free in the cube: behind a tanh those that are saturated on the wrong side would have no
    gradient to come back by.
    """
    n, bits, size = 4096, 16, 256
    common = 1 + torch.randn(n, 1, generator=seeded(0))
    u = (common + 0.4 * torch.randn(n, bits, generator=seeded(1))).tanh().requires_grad_()
    means, correlations = imbalance(u)
    assert means.min() > 0.6
    assert correlations.mean() > 0.55

    quantizer, generator = quantizers.create("wr"), seeded(2)
    for _ in range(20):
        for batch in torch.randperm(n, generator=generator).view(-1, size):
            codes = u[batch]
            value = quantizer(codes, generator=generator)
            (gradient,) = torch.autograd.grad(value, codes)
            with torch.no_grad():
                u[batch] = (codes - 0.7 * codes.numel() * gradient).clamp(-1, 1)
    means, correlations = imbalance(u)
    # What 4,096 codes drawn at random have: a standard error of 1/64, so 0.0125 on average.
    assert means.mean() < 0.02 and means.max() < 0.05
    assert correlations.mean() < 0.02 and correlations.max() < 0.07
    # Not by being shuffled, as targets that aren't paired would do it: each batch is near to its targets.
    assert value < -0.5
