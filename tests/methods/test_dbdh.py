"""DBDH: its equations as loops, and the gradient that goes straight through the sign."""

import math

import pytest
import torch

from pipeline.methods.dbdh import DBDH
from tests.losses import dot, made, mean, overlap, rows, sign_of


@pytest.mark.parametrize("pairs", ["balanced", "plain"])
def test_similarity_is_its_equation(pairs: str) -> None:
    method, first, every_label, u, labels, indices = made(DBDH, pairs=pairs, slope=2.5)
    centre = first.mean(dim=0).tolist()
    bank = [[sign_of(x - m) for x, m in zip(row, centre, strict=True)] for row in rows(first)]
    codes = [[sign_of(x) for x in row] for row in rows(u)]
    for index, code in zip(indices.tolist(), codes, strict=True):
        bank[index] = code
    losses: dict[bool, list[float]] = {True: [], False: []}
    for code, own in zip(codes, rows(labels), strict=True):
        for other, others in zip(bank, rows(every_label), strict=True):
            psi, alike = 2.5 / 6 * dot(code, other), overlap(own, others)
            losses[alike].append(math.log(1 + math.exp(psi)) - alike * psi)
    assert all(losses.values())
    if pairs == "plain":
        expected = mean(losses[True] + losses[False])
    else:
        expected = sum(mean(part) / 2 for part in losses.values())
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)
    assert rows(method.bank.outputs) == bank


@pytest.mark.parametrize("power", [1, 2])
def test_balance_is_its_equation(power: int) -> None:
    method, _, _, u, labels, indices = made(DBDH, alpha=0.7, power=power)
    means = [mean([sign_of(x) for x in row]) for row in rows(u)]
    expected = 0.7 * mean([abs(value) ** power for value in means])
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


def test_gradient_goes_straight_through_and_stops_at_one() -> None:
    method, _, _, u, labels, indices = made(DBDH)
    u[0, 0], u[0, 1] = 1.5, -1.5
    u.requires_grad_()
    method.similarity_loss(u, labels, indices).backward()  # type: ignore[no-untyped-call]
    # The same signs well inside the bounds: what the discrete loss's own gradient is.
    inside = (u.detach().sign() / 2).requires_grad_()
    made(DBDH).method.similarity_loss(inside, labels, indices).backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None and inside.grad is not None
    assert torch.equal(u.grad, inside.grad * (u.detach().abs() < 1))
    assert u.grad[0, :2].tolist() == [0, 0] and bool((u.abs() > 1).any()) and bool(u.grad.any())


def test_relaxed_codes_are_clipped() -> None:
    method = made(DBDH).method
    assert method.relax(torch.tensor([[-3.0, -0.5, 0.0, 2.0]])).tolist() == [[-1, -0.5, 0, 1]]
