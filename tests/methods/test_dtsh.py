"""DTSH: its equations as loops over triplets, by both ways to compute them, and what becomes of a lone image."""

import math

import pytest
import torch
from torch.nn import functional

from pipeline.methods import similar
from pipeline.methods.dtsh import DTSH
from pipeline.methods.shared import triplets
from pipeline.methods.shared.triplets import triplet_likelihood
from tests.losses import a_lone_image_costs_nothing, dot, made, mean, outputs, overlap, rows, seeded, sign_of


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_triplet_likelihood(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DTSH, multi=multi, batch=12, margin=0.4)
    codes, terms = rows(u), []
    alike = [[overlap(one, other) for other in rows(labels)] for one in rows(labels)]
    for q in range(12):
        for p in range(12):
            for n in range(12):
                if p != q and alike[q][p] and not alike[q][n]:
                    difference = dot(codes[q], codes[p]) / 2 - dot(codes[q], codes[n]) / 2 - 0.4 * 6
                    terms.append(math.log(1 + math.exp(-difference)))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DTSH, quantization=0.7)
    terms = [(x - sign_of(x)) ** 2 for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def test_a_lone_image_has_no_triplets() -> None:
    a_lone_image_costs_nothing(DTSH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [1 << 20, 700])
def test_gradient_is_that_of_the_plain_formula(block: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, this many triplets go through the compiled code."""
    monkeypatch.setattr(triplets, "_BLOCK", block * 96)
    b = 96
    labels = torch.zeros(b, 5).scatter_(1, torch.randint(0, 5, (b, 1), generator=seeded()), 1.0)
    labels[:9, 4] = 1  # some have two
    labels[9] = 0
    alike = similar(labels, labels).to(dtype)
    theta = (3 * outputs(b, b)).to(dtype).requires_grad_()
    others = 1 - torch.eye(b, dtype=dtype)
    positive, negative = alike * others, (1 - alike) * others
    cost = functional.softplus(theta[:, None, :] - theta[:, :, None] + 0.8)
    mask = positive[:, :, None] * negative[:, None, :]
    expected = (cost * mask).sum() / mask.sum()
    (wanted,) = torch.autograd.grad(expected, theta)
    found = triplet_likelihood(theta, alike, 0.8)
    (gradient,) = torch.autograd.grad(2 * found, theta)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert found.item() == pytest.approx(expected.item(), rel=tolerance)
    assert torch.allclose(gradient, 2 * wanted, atol=tolerance * float(wanted.abs().max()))


def test_the_way_of_a_gpu_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes all pairs, because their number isn't known without a copy to the host."""
    method, _, _, u, labels, indices = made(DTSH, batch=12)
    u.requires_grad_()
    here = method.similarity_loss(u, labels, indices)
    monkeypatch.setattr(triplets, "_on_cpu", lambda device: False)
    there = method.similarity_loss(u, labels, indices)
    assert there.item() == pytest.approx(here.item(), rel=1e-12)
    for one, other in zip(torch.autograd.grad(here, u), torch.autograd.grad(there, u), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
