"""SWD: against optimal transport along its directions, against HSWD, and the directions themselves."""

from typing import cast

import numpy as np
import pytest
import torch

from pipeline import quantizers
from pipeline.quantizers.swd import SWD
from tests.losses import outputs, seeded, signs, transport_cost


def make(projections: int) -> SWD:
    return cast(SWD, quantizers.create("swd", projections=projections))


def test_term_along_the_axes_is_hswd(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, u, targets = make(8), outputs(), signs()
    monkeypatch.setattr(quantizer, "_directions", lambda u, generator: torch.eye(8, dtype=u.dtype))
    assert torch.equal(quantizer(u, targets=targets), quantizers.create("hswd")(u, targets=targets))


def test_term_equals_plain_loops_given_its_directions() -> None:
    n, bits, lines = 9, 4, 7
    quantizer, u, targets = make(lines), outputs(n, bits), signs(n, bits)
    directions = quantizer._directions(u, seeded(5))
    total = 0.0
    for line in range(lines):
        a, b = (
            [sum(float(x[i, k] * directions[k, line]) for k in range(bits)) for i in range(n)] for x in (u, targets)
        )
        total += transport_cost(np.array(a), np.array(b))
    value = quantizer(u, targets=targets, generator=seeded(5))
    assert value.item() == pytest.approx(total / lines, rel=1e-9)


def test_directions_are_unit_columns_all_around() -> None:
    directions = make(4000)._directions(outputs(), seeded())
    assert directions.shape == (8, 4000)
    np.testing.assert_allclose(directions.norm(dim=0).numpy(), 1, rtol=1e-6)
    assert directions.mean(dim=1).abs().max() < 0.03
    np.testing.assert_allclose((directions @ directions.T / 4000).numpy(), np.eye(8) / 8, atol=0.01)


def test_term_of_shifted_samples_is_the_shift_along_the_directions() -> None:
    quantizer, u = make(5), outputs()
    shift = torch.full((8,), 0.3, dtype=torch.float64)
    directions = quantizer._directions(u, seeded(5))
    value = quantizer(u, targets=u + shift, generator=seeded(5))
    assert value.item() == pytest.approx((shift @ directions).square().mean().item(), rel=1e-9)
