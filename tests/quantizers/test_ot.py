"""OT: the cheapest of all pairings, and where its gradient leads."""

import itertools

import pytest

from pipeline import quantizers
from tests.losses import outputs, seeded, signs


def test_term_is_the_cheapest_of_all_pairings() -> None:
    u, targets = outputs(5, 3), signs(5, 3)
    costs = [
        sum((float(u[i, k]) - float(targets[j, k])) ** 2 for i, j in enumerate(order) for k in range(3)) / 15
        for order in itertools.permutations(range(5))
    ]
    assert quantizers.create("ot")(u, targets=targets).item() == pytest.approx(min(costs), abs=1e-6)


def test_term_is_zero_on_equal_sets_and_never_negative() -> None:
    quantizer, targets = quantizers.create("ot"), signs(16, 8)
    assert quantizer(targets.roll(5, dims=0), targets=targets).item() == 0
    for seed in range(5):
        assert quantizer(outputs(16, 8, seed), generator=seeded(seed)).item() >= 0


def test_gradient_pulls_every_output_to_its_target() -> None:
    u, targets = outputs(4, 6).requires_grad_(), signs(4, 6)
    quantizers.create("ot")(u, targets=targets).backward()
    assert u.grad is not None
    reached = u.detach() - u.grad * u.numel() / 2
    assert sorted(reached.round().tolist()) == sorted(targets.tolist())
