"""CroVCA: its equations as loops, which way its gradient goes, and what the coding rate measures."""

import math

import numpy as np
import pytest
import torch

from pipeline.methods.crovca import CroVCA
from pipeline.methods.shared.coding_rate import coding_rate
from tests.losses import mean, outputs, rows


def rate(u: torch.Tensor) -> float:
    """By NumPy's determinant."""
    v = u.numpy() / np.linalg.norm(u.numpy(), axis=1, keepdims=True)
    b, bits = v.shape
    _, logdet = np.linalg.slogdet(np.eye(bits) + bits / (b * 0.05) * v.T @ v)
    return float((b + bits) / (2 * b * bits) * logdet)


def bce(row: list[float], of: list[float]) -> float:
    return mean([math.log(1 + math.exp(-x if y > 0 else x)) for x, y in zip(row, of, strict=True)])


def test_loss_is_its_equation() -> None:
    method = CroVCA(code_length=6, num_classes=3, num_train=9, diversity=0.2)
    u, v = outputs(5, 6), outputs(5, 6, seed=1)
    aligned = mean([bce(a, b) + bce(b, a) for a, b in zip(rows(u), rows(v), strict=True)]) / 2
    expected = aligned - 0.2 * (rate(u) + rate(v)) / 2
    found = method.similarity_loss(torch.cat([u, v]), torch.empty(0), torch.arange(5).repeat(2))
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_targets_have_no_gradient() -> None:
    method = CroVCA(code_length=6, num_classes=3, num_train=9, diversity=0.0)
    u = torch.cat([outputs(5, 6), outputs(5, 6, seed=1)]).requires_grad_()
    (gradient,) = torch.autograd.grad(method.similarity_loss(u, torch.empty(0), torch.arange(10)), u)
    wanted = (u.sigmoid() - (u.roll(5, dims=0) > 0).double()) / (2 * 5 * 6)
    assert torch.allclose(gradient, wanted, atol=1e-12)


def test_different_codes_have_a_higher_coding_rate() -> None:
    alike = torch.ones(8, 4, dtype=torch.float64)
    different = torch.eye(4, dtype=torch.float64).repeat(2, 1)
    assert coding_rate(different) > coding_rate(alike) > 0
    assert coding_rate(7 * different).item() == pytest.approx(coding_rate(different).item())
