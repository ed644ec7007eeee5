"""DFH: its equations as loops, its centers beside those of gradient descent by autograd, and that they stay finite."""

import math

import pytest
import torch
from torch import Tensor

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


def objective(method: DFH, centers: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    bits, classes = centers.shape
    wanted = bits * (2 * torch.eye(classes, dtype=centers.dtype) - 1)
    intra = (labels @ centers.T - codes).square().mean()
    inter = (centers.T @ centers - wanted).square().mean()
    binary = (centers - centers.detach().sign()).square().mean()
    return intra + method.inter * inter + method.nu * binary


@pytest.mark.parametrize("multi", [False, True])
def test_centers_are_those_of_gradient_descent(multi: bool) -> None:
    """With few bits the rate is that of the public implementation: 0.03, a tenth of it from steps 149 and 179."""
    method, first, labels, _, _, _ = made(DFH, bits=8, n=180, multi=multi)
    codes = torch.where(first >= 0, 1.0, -1.0).double()
    # The sign of a center that starts as 0 to within rounding is not reproducible.
    assert (codes.T @ labels).all()
    centers = torch.zeros(8, 4, dtype=torch.float64, requires_grad=True)
    for step in range(200):
        (gradient,) = torch.autograd.grad(objective(method, centers, labels, codes), centers)
        rate = 0.03 if step < 149 else 0.003 if step < 179 else 0.0003
        centers = (centers - rate * gradient).detach().requires_grad_()
    assert torch.allclose(method.relaxed_centers, centers, rtol=0, atol=1e-9)


def test_centers_have_the_majority_of_their_class() -> None:
    """A rule that pulls an unknown center, 0, to +1 leaves two thirds of them positive."""
    method, first, labels, _, _, _ = made(DFH, bits=32, classes=10, n=310, multi=False)
    majority = (torch.where(first >= 0, 1.0, -1.0).double().T @ labels).sign()
    assert majority.all()  # 31 images of a class
    signs = method.relaxed_centers.sign()
    assert (signs == majority).double().mean() > 0.9
    assert abs((signs > 0).double().mean() - (majority > 0).double().mean()) < 0.05


#: Bits, classes and weight of the distances between centers where a constant rate of 0.03 diverges.
DIVERGENT = [
    (64, 2, 1.0),
    (192, 10, 1.0),
    (384, 21, 1.0),
    (64, 10, 3.0),
    (64, 10, 10.0),
    (64, 21, 10.0),
    (16, 10, 30.0),
]


@pytest.mark.parametrize(("bits", "classes", "inter"), [(16, 4, 1.0), (6, 10, 1.0), *DIVERGENT])
@pytest.mark.parametrize("multi", [False, True])
def test_centers_lower_their_objective_and_stay_finite(bits: int, classes: int, inter: float, multi: bool) -> None:
    method, first, labels, _, _, _ = made(DFH, bits=bits, classes=classes, n=42, multi=multi, inter=inter)
    codes = torch.where(first >= 0, 1.0, -1.0).double()
    found = objective(method, method.relaxed_centers, labels, codes)
    assert found < objective(method, torch.zeros_like(method.relaxed_centers), labels, codes)
    method.prime(first, labels)
    assert objective(method, method.relaxed_centers, labels, codes) == pytest.approx(found)
    for epoch in range(20):
        method.end_epoch(epoch)
    assert method.relaxed_centers.isfinite().all() and method.relaxed_centers.abs().max() < (6 if multi else 3)


def test_centers_without_a_label_or_a_weight_stay_0() -> None:
    method = DFH(code_length=6, num_classes=4, num_train=5, inter=0.0, nu=0.0)
    method.prime(torch.ones(5, 6), torch.zeros(5, 4))
    assert not method.relaxed_centers.any()


def test_centers_change_between_epochs_alone() -> None:
    method, _, _, u, labels, indices = made(DFH)
    before = method.relaxed_centers.clone()
    method.similarity_loss(u, labels, indices)
    method.quantization_loss(u, labels, indices)
    assert torch.equal(before, method.relaxed_centers)
    method.end_epoch(0)
    assert not torch.equal(before, method.relaxed_centers)
