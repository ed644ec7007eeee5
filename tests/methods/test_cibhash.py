"""CIBHash: its equations as loops, and the gradient through the sign."""

import math

import pytest
import torch

from pipeline.methods.cibhash import CIBHash
from tests.losses import dot, mean, outputs, rows, sign_of


def test_loss_is_its_equation() -> None:
    method = CIBHash(code_length=6, num_classes=3, num_train=9, temperature=0.5, bottleneck=0.2)
    u = torch.cat([outputs(4, 6), outputs(4, 6, seed=1)])
    codes = [[sign_of(x) for x in row] for row in rows(u)]
    chances = [[1 / (1 + math.exp(-x)) for x in row] for row in rows(u)]
    contrast, divergence = [], []
    for i in range(8):
        other = (i + 4) % 8
        near = [math.exp(dot(codes[i], codes[j]) / 6 / 0.5) for j in range(8) if j != i]
        contrast.append(math.log(sum(near)) - dot(codes[i], codes[other]) / 6 / 0.5)
        pairs = zip(chances[i], chances[other], strict=True)
        divergence.append(sum(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)) for p, q in pairs))
    expected = mean(contrast) + 0.2 * mean(divergence)
    found = method.similarity_loss(u, torch.empty(0), torch.arange(4).repeat(2))
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_gradient_passes_the_sign_to_the_probability() -> None:
    method = CIBHash(code_length=6, num_classes=3, num_train=9, bottleneck=0.0)
    u = torch.cat([outputs(4, 6), outputs(4, 6, seed=1)]).requires_grad_()
    (found,) = torch.autograd.grad(method.similarity_loss(u, torch.empty(0), torch.arange(8)), u)
    code = torch.where(u >= 0, 1.0, -1.0).double().requires_grad_()
    cosines = torch.nn.functional.cosine_similarity(code[:, None], code[None], dim=2) / method.temperature
    logits = cosines.masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf)
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(8).roll(4))
    (of_code,) = torch.autograd.grad(loss, code)
    assert torch.allclose(found, of_code * (u.sigmoid() * (1 - u.sigmoid())), atol=1e-12)


def test_views_that_are_alike_have_no_divergence() -> None:
    view = outputs(4, 6)
    method = CIBHash(code_length=6, num_classes=3, num_train=9, bottleneck=1.0)
    without = CIBHash(code_length=6, num_classes=3, num_train=9, bottleneck=0.0)
    batch = view.repeat(2, 1), torch.empty(0), torch.arange(8)
    assert method.similarity_loss(*batch).item() == pytest.approx(without.similarity_loss(*batch).item())
