"""JMLH: its equations as loops, the mean and the gradient of its draws."""

import math

import pytest
import torch

from pipeline.methods.jmlh import JMLH, _Drawn
from tests.losses import dot, made, mean, outputs, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_classification_of_drawn_codes(multi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _, u, labels, indices = made(JMLH, multi=multi)
    noise = torch.tanh(outputs(len(u), u.shape[1], seed=9))
    monkeypatch.setattr(JMLH, "_noise", staticmethod(lambda relaxed: noise))
    totals = []
    for row, drawn, label in zip(rows(u), rows(noise), rows(labels), strict=True):
        code = [1.0 if math.tanh(x) > z else -1.0 for x, z in zip(row, drawn, strict=True)]
        logits = [
            dot(weights, code) + bias
            for weights, bias in zip(rows(method.classifier.weight), method.classifier.bias.tolist(), strict=True)
        ]
        if multi:
            chances = [1 / (1 + math.exp(-z)) for z in logits]
            totals.append(-sum(math.log(p if y else 1 - p) for p, y in zip(chances, label, strict=True)))
        else:
            totals.append(math.log(sum(math.exp(z) for z in logits)) - logits[label.index(1.0)])
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(totals), abs=1e-6)


def test_own_term_is_the_divergence_from_a_fair_coin() -> None:
    method, _, _, u, labels, indices = made(JMLH, rate=0.7)
    totals = []
    for row in rows(u):
        chances = [1 / (1 + math.exp(-2 * x)) for x in row]
        totals.append(sum(p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)) for p in chances))
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(totals), abs=1e-6)


def test_draws_have_tanh_as_their_mean() -> None:
    torch.manual_seed(0)
    method = JMLH(code_length=4, num_classes=2, num_train=8)
    relaxed = torch.tanh(torch.tensor([-1.0, -0.2, 0.0, 0.7])).expand(20_000, 4)
    drawn = _Drawn.apply(relaxed, method._noise(relaxed))
    assert drawn.abs().eq(1).all()
    assert torch.allclose(drawn.mean(dim=0), relaxed[0], atol=0.03)


def test_gradient_passes_the_draw_intact(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _, u, labels, indices = made(JMLH, multi=False)
    monkeypatch.setattr(JMLH, "_noise", staticmethod(lambda relaxed: torch.zeros_like(relaxed)))
    u.requires_grad_()
    (found,) = torch.autograd.grad(method.similarity_loss(u, labels, indices), u)
    code = torch.where(u > 0, 1.0, -1.0).double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(method.classifier(code), labels)
    (of_code,) = torch.autograd.grad(loss, code)
    assert torch.allclose(found, of_code * (1 - torch.tanh(u) ** 2), atol=1e-12)


def test_losses_are_those_of_the_authors_code_with_a_fixed_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outputs are x = 2u, its codes are in {0, 1}, and d code / dx is p (1 - p)."""
    method, _, _, u, labels, indices = made(JMLH, multi=False, rate=0.2)
    monkeypatch.setattr(JMLH, "_noise", staticmethod(lambda relaxed: torch.zeros_like(relaxed)))
    u.requires_grad_()
    found = method.similarity_loss(u, labels, indices) + method.quantization_loss(u, labels, indices)
    (gradient,) = torch.autograd.grad(found, u)

    x = (2 * u.detach()).requires_grad_()
    p = x.sigmoid()
    code = (p.detach() > 0.5).double().requires_grad_()
    weight, bias = 2 * method.classifier.weight, method.classifier.bias - method.classifier.weight.sum(dim=1)
    cross_entropy = -((code @ weight.T + bias).log_softmax(dim=1) * labels).sum(dim=1).mean()
    divergence = (p * (p / 0.5).log() + (1 - p) * ((1 - p) / 0.5).log()).sum(dim=1).mean()
    assert found.item() == pytest.approx((cross_entropy + 0.2 * divergence).item(), abs=1e-12)
    (of_code,) = torch.autograd.grad(cross_entropy, code)
    (of_x,) = torch.autograd.grad(0.2 * divergence, x)
    assert torch.allclose(gradient, 2 * (of_code * p * (1 - p) + of_x), atol=1e-12)


def test_draws_are_the_same_for_a_seed_and_others_in_each_step() -> None:
    method, _, _, u, labels, indices = made(JMLH, bits=32)
    torch.manual_seed(3)
    first, second = (method.similarity_loss(u, labels, indices).item() for _ in range(2))
    torch.manual_seed(3)
    assert method.similarity_loss(u, labels, indices).item() == first != second
