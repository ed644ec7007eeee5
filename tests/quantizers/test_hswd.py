"""HSWD: against optimal transport bit by bit, SciPy's distance, its gradient, and as a metric."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pipeline import quantizers
from tests.losses import outputs, signs, transport_cost


def root(a: Tensor, b: Tensor) -> float:
    return math.sqrt(quantizers.create("hswd")(a, targets=b))


def test_term_is_the_mean_over_bits_of_optimal_transport() -> None:
    u, targets = outputs(33), signs(33)
    bits = [transport_cost(u[:, k].numpy(), targets[:, k].numpy()) for k in range(8)]
    assert quantizers.create("hswd")(u, targets=targets).item() == pytest.approx(np.mean(bits), rel=1e-9)


def test_term_of_one_bit_is_the_distance_of_sorted_values() -> None:
    a, b = outputs(30, 1, 1), outputs(30, 1, 2)
    by_hand = np.mean([(x - y) ** 2 for x, y in zip(sorted(a[:, 0]), sorted(b[:, 0]), strict=True)])
    value = quantizers.create("hswd")(a, targets=b).item()
    assert value == pytest.approx(float(by_hand), rel=1e-12)
    assert value == pytest.approx(transport_cost(a[:, 0].numpy(), b[:, 0].numpy()), rel=1e-12)


def scipys(a: Tensor, b: Tensor) -> float:
    """Wasserstein-1: the mean of how far mass is moved, where the root of our term is that of the mean square."""
    return float(stats.wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy()))


def test_root_of_one_bit_is_scipys_distance_where_all_move_equally_far() -> None:
    a = outputs(30, 1)
    assert root(a, a + 0.75) == pytest.approx(scipys(a, a + 0.75)) == pytest.approx(0.75)
    inner, outer = torch.cat([a - 9, a + 9]), torch.cat([a - 10, a + 10])
    assert root(inner, outer) == pytest.approx(scipys(inner, outer)) == pytest.approx(1)
    for x, y in zip(outputs(20, 1, 3)[:, None], outputs(20, 1, 4)[:, None], strict=True):
        assert root(x, y) == pytest.approx(scipys(x, y))


@pytest.mark.parametrize("seed", range(5))
def test_root_of_one_bit_is_above_scipys_distance_elsewhere(seed: int) -> None:
    a, b = outputs(30, 1, seed), outputs(30, 1, seed + 1)
    assert root(a, b) > scipys(a, b)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_root_adds_up_along_the_way_that_mass_takes(share: float) -> None:
    """The triangle inequality's own edge: samples between two, each value part of its way."""
    a, c = outputs(20, seed=1).sort(dim=0).values, outputs(20, seed=2).sort(dim=0).values
    between = torch.lerp(a, c, share)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    assert root(a, between) == pytest.approx(share * root(a, c), rel=1e-9)
    assert root(a, between) + root(between, c) == pytest.approx(root(a, c), rel=1e-9)


def test_gradient_is_that_of_the_matched_differences() -> None:
    u, targets = outputs(7, 2).requires_grad_(), signs(7, 2)
    (gradient,) = torch.autograd.grad(quantizers.create("hswd")(u, targets=targets), u)
    for bit in range(2):
        ranks = stats.rankdata(u[:, bit].detach().numpy()).astype(int) - 1
        matched = np.sort(targets[:, bit].numpy())[ranks]
        expected = 2 * (u[:, bit].detach().numpy() - matched) / u.numel()
        np.testing.assert_allclose(gradient[:, bit].numpy(), expected, rtol=1e-12)
