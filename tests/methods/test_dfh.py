"""DFH: its equations as loops, and that its centers minimise what they should."""

import math

import pytest
import torch

from pipeline.methods.dfh import DFH
from tests.losses import dot, made, mean, overlap, rows, sign_of, stored


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_likelihood_with_a_margin(multi: bool) -> None:
    method, first, every_label, u, labels, indices = made(DFH, multi=multi, margin=1.3)
    others = stored(first, u, indices)
    terms = []
    for row, own in zip(rows(u), rows(labels), strict=True):
        for other, its in zip(others, rows(every_label), strict=True):
            psi = dot(row, other) / 2
            terms.append(math.log(1 + math.exp(1.3 - psi if overlap(own, its) else 1.3 + psi)))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DFH, eta=0.7, mu=0.9)
    centers = [[math.copysign(1, v) for v in row] for row in rows(method.relaxed_centers)]
    terms = []
    for row, own in zip(rows(u), rows(labels), strict=True):
        for x, center in zip(row, centers, strict=True):
            terms.append((sign_of(x + 0.9 * dot(center, own)) - x) ** 2)
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def objective(method: DFH, first: torch.Tensor, labels: torch.Tensor, codes: torch.Tensor) -> float:
    centers = method.relaxed_centers
    bits, classes = centers.shape
    wanted = bits * (2 * torch.eye(classes, dtype=centers.dtype) - 1)
    intra = (labels @ centers.T - codes).square().mean()
    inter = (centers.T @ centers - wanted).square().mean()
    binary = (centers - torch.where(centers >= 0, 1.0, -1.0)).square().mean()
    return float(intra + method.inter * inter + method.nu * binary)


@pytest.mark.parametrize(("bits", "classes"), [(16, 4), (64, 2), (6, 10)])
def test_centers_lower_their_objective_and_stay_finite(bits: int, classes: int) -> None:
    """Also where the rate of the public implementation would diverge: 64 bits, 2 classes."""
    method, first, labels, _, _, _ = made(DFH, bits=bits, classes=classes, n=40, multi=False)
    codes = torch.where(first >= 0, 1.0, -1.0).double()
    found = objective(method, first, labels, codes)
    method.relaxed_centers.zero_()
    assert found < objective(method, first, labels, codes)
    method.prime(first, labels)
    assert objective(method, first, labels, codes) == pytest.approx(found)
    for epoch in range(20):
        method.end_epoch(epoch)
    assert method.relaxed_centers.isfinite().all() and method.relaxed_centers.abs().max() < 3


def test_centers_change_between_epochs_alone() -> None:
    method, _, _, u, labels, indices = made(DFH)
    before = method.relaxed_centers.clone()
    method.similarity_loss(u, labels, indices)
    method.quantization_loss(u, labels, indices)
    assert torch.equal(before, method.relaxed_centers)
    method.end_epoch(0)
    assert not torch.equal(before, method.relaxed_centers)
