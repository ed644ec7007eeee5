"""Mutual information estimated where it is known."""

import math

import pytest
import torch
from torch import Tensor

from pipeline.evaluation.informativeness import Settings, estimate

QUICK = Settings(steps=300, learning_rate=0.004, restarts=2)


def gaussians(correlation: float, dimensions: int, n: int = 12_000) -> tuple[Tensor, Tensor]:
    """Pairs whose coordinates correlate one by one; I = -dimensions/2 log(1 - correlation^2) nats."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, n, dimensions, generator=generator)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


@pytest.mark.slow
@pytest.mark.parametrize(("correlation", "dimensions"), [(0.5, 1), (0.8, 1), (0.9, 1), (0.6, 3)])
def test_correlated_gaussians_have_their_known_information(correlation: float, dimensions: int) -> None:
    known = -dimensions / 2 * math.log(1 - correlation**2)
    found = estimate(*gaussians(correlation, dimensions), QUICK, seed=0)
    assert found.mean == pytest.approx(known, abs=0.1)
    assert found.std is not None and found.std < 0.1


@pytest.mark.slow
def test_independent_variables_have_none() -> None:
    x, y = gaussians(0.0, 4)
    found = estimate(x, y, QUICK, seed=0)
    assert abs(found.mean) < 0.03


@pytest.mark.slow
def test_codes_of_a_class_tell_the_class() -> None:
    """Four classes in equal numbers, noisy images, one code a class: log 4 nats."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randint(4, (8_000,), generator=generator)
    centers = torch.randint(0, 200, (4, 48), generator=generator)
    images = (centers[own] + torch.randint(0, 50, (8_000, 48), generator=generator)).to(torch.uint8)
    codes = (2 * torch.randint(0, 2, (4, 16), generator=generator) - 1)[own]
    assert estimate(images, codes, QUICK, seed=0).mean == pytest.approx(math.log(4), abs=0.1)


@pytest.mark.slow
def test_few_samples_of_many_columns_do_not_go_far_below_zero() -> None:
    """The case that gives MINE its negative values: noise that a network can learn by heart."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 500, generator=generator), torch.randn(300, 64, generator=generator)
    assert -0.2 < estimate(x, y, QUICK, seed=0).mean < 0.05


@pytest.mark.slow
def test_columns_that_hardly_ever_vary_are_no_trouble() -> None:
    """Corners of images: the same in all of them but one."""
    x, y = gaussians(0.8, 1, n=4_000)
    corners = torch.full((4_000, 30), 7.0)
    corners[torch.arange(30) * 100, torch.arange(30)] = 8.0
    found = estimate(torch.cat([x, corners], dim=1), y, QUICK, seed=0)
    assert found.mean == pytest.approx(-math.log(1 - 0.8**2) / 2, abs=0.15)


@pytest.mark.slow
def test_what_is_constant_has_no_information() -> None:
    x, _ = gaussians(0.8, 1, n=1_000)
    assert estimate(x, torch.ones(1_000, 4), QUICK, seed=0).mean == pytest.approx(0, abs=0.02)


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    x, y = gaussians(0.8, 1, n=1_000)
    few = Settings(steps=30, restarts=2)
    before = torch.get_rng_state()
    first = estimate(x, y, few, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(5)
    assert estimate(x, y, few, seed=1) == first
    assert estimate(x, y, few, seed=2) != first
    assert first.held_out == 200 and len(first.estimates) == 2


def test_one_restart_has_no_spread() -> None:
    assert estimate(*gaussians(0.5, 1, n=500), Settings(steps=5, restarts=1), seed=0).std is None
