"""IDHN: both of its pairs' costs as loops, its slope, and which training sets have soft pairs."""

import math

import pytest
import torch

from pipeline.methods.idhn import IDHN
from pipeline.methods.shared.bank import LabelSets
from tests.losses import dot, made, mean, outputs, overlap, rows, seeded, stored


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, first, every_label, u, labels, indices = made(IDHN, multi=multi, alpha=0.7, gamma=0.3)
    assert method.has_soft_pairs == multi
    others = stored(first, u, indices)
    terms, soft = [], 0
    for row, own in zip(rows(u), rows(labels), strict=True):
        for other, its in zip(others, rows(every_label), strict=True):
            inner = dot([x / (1 + abs(x)) for x in row], [x / (1 + abs(x)) for x in other])
            s = dot(own, its) / math.sqrt(dot(own, own) * dot(its, its))
            if s < 1e-9 or s > 1 - 1e-9:
                theta = 0.7 / 6 * inner
                terms.append(math.log(1 + math.exp(theta)) - round(s) * theta)
            else:
                soft += 1
                terms.append(0.3 / 6 * ((inner + 6) / 2 - 6 * s) ** 2)
    assert bool(soft) == multi
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


@pytest.mark.parametrize("bits", [4, 64])
def test_slope_has_the_same_effect_at_every_code_length(bits: int) -> None:
    """By default theta of two equal codes is 5, as in the authors' code."""
    method, _, _, _, labels, indices = made(IDHN, bits=bits, n=1, classes=1, batch=1)
    u = torch.full((1, bits), -1e9, dtype=torch.float64)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(math.log(1 + math.exp(-5)), abs=1e-6)


def test_gradient_is_half_of_that_of_the_authors_code() -> None:
    """Of their loss with their settings; they compare a batch with itself, so both images of a pair get a gradient."""
    method, _, labels, u, _, indices = made(IDHN, n=12, batch=12, bits=8)
    u.requires_grad_()
    h, labels = u / (1 + u.abs()), labels[indices]
    unit = labels / labels.norm(dim=1, keepdim=True)
    similarity, inner = unit @ unit.T, h @ h.T
    theta = 5 / 8 * inner
    hard = (similarity < 0.01) | (similarity > 0.99)
    assert hard.any() and not hard.all()
    regression = 0.1 * 8 * ((inner + 8) / 16 - similarity).square()
    pairs = torch.where(hard, (1 + theta.exp()).log() - similarity * theta, regression)
    (theirs,) = torch.autograd.grad(pairs.mean() + 0.1 * (h.abs() - 1).abs().mean(), u)
    ours = method.similarity_loss(u, labels, indices) + method.quantization_loss(u, labels, indices)
    assert torch.allclose(2 * torch.autograd.grad(ours, u)[0], theirs, rtol=0, atol=1e-9)


def test_soft_pairs_are_found_as_by_all_pairs() -> None:
    generator = seeded()
    found = set()
    for _ in range(200):
        n, classes = (int(x) for x in torch.randint(1, 6, (2,), generator=generator))
        labels = (torch.rand(n, classes, generator=generator) < 0.4).float()
        method = IDHN(code_length=2, num_classes=classes, num_train=n)
        method.prime(outputs(n, 2).float(), labels)
        pairs = [(a, b) for a in rows(labels) for b in rows(labels)]
        assert method.has_soft_pairs == any(overlap(a, b) and a != b for a, b in pairs)
        found.add(method.has_soft_pairs)
    assert found == {False, True}


def test_prime_compares_no_two_label_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training set with thousands of label sets has too many pairs of them."""

    def shared(*_: object) -> None:
        raise AssertionError("all pairs of label sets are computed")

    monkeypatch.setattr(LabelSets, "shared", shared)
    assert made(IDHN, multi=True).method.has_soft_pairs


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(IDHN, quantization=0.7)
    terms = [abs(abs(x) / (1 + abs(x)) - 1) for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def test_relaxed_codes_are_softsign() -> None:
    method = IDHN(code_length=3, num_classes=2, num_train=4)
    assert torch.allclose(method.relax(torch.tensor([[-3.0, 0.0, 1.0]])), torch.tensor([[-0.75, 0.0, 0.5]]))
