"""The pairing against brute force and SciPy, and what it refuses."""

import itertools
import math
import re
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pipeline.assignment import optimal_pairing
from tests.losses import outputs, seeded, signs


def gain(u: Tensor, targets: Tensor, order: Any) -> float:
    return float((u * targets[order]).sum())


@pytest.mark.parametrize("n", [1, 2, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_pairing_is_the_best_of_all_permutations(n: int, seed: int) -> None:
    u, targets = outputs(n, 5, seed), signs(n, 5, seed + 1)
    found = optimal_pairing(u, targets)
    best = max(gain(u, targets, list(order)) for order in itertools.permutations(range(n)))
    assert gain(u, targets, found) == pytest.approx(best, abs=1e-5)
    distance = float((u - targets[found]).square().sum())
    least = min(float((u - targets[list(order)]).square().sum()) for order in itertools.permutations(range(n)))
    assert distance == pytest.approx(least, abs=1e-5)


def test_pairing_is_scipys_optimum_of_squared_distances() -> None:
    u, targets = outputs(64, 32).tanh(), signs(64, 32)
    cost = torch.cdist(u, targets).square().numpy()
    rows, columns = linear_sum_assignment(cost)
    found = optimal_pairing(u, targets).numpy()
    assert cost[rows, found].sum() == pytest.approx(cost[rows, columns].sum(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_pairing_is_a_permutation_without_a_gradient(dtype: torch.dtype) -> None:
    u = outputs(20).to(dtype).requires_grad_()
    found = optimal_pairing(u, signs(20).to(dtype))
    assert found.dtype == torch.int64
    assert not found.requires_grad
    assert sorted(found.tolist()) == list(range(20))


def test_pairing_undoes_a_shuffle() -> None:
    targets = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)))
    shuffle = torch.randperm(16, generator=seeded())
    assert torch.equal(targets[optimal_pairing(0.5 * targets[shuffle], targets)], targets[shuffle])


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((4, 3), (5, 3)), ((4,), (4,)), ((2, 4, 3), (2, 4, 3))])
def test_pairing_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(shapes[1]))):
        optimal_pairing(torch.zeros(shapes[0]), torch.ones(shapes[1]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pairing_refuses_what_is_not_finite(value: float) -> None:
    u = outputs(4)
    u[2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        optimal_pairing(u, signs(4))
