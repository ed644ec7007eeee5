"""BiHalf: its equations as loops, its halves, and the gradient of its layer."""

import math

import pytest
import torch

from pipeline.methods.bihalf import BiHalf, halves
from tests.losses import dot, mean, outputs, rows


def cosine(a: list[float], b: list[float]) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


@pytest.mark.parametrize("images", [6, 7])
def test_half_of_a_batch_has_each_bit(images: int) -> None:
    """Of an odd number the smaller part, as in the authors' code."""
    u = outputs(images, 5)
    codes = halves(u)
    assert (codes > 0).sum(dim=0).tolist() == [images // 2] * 5
    for k in range(5):
        assert u[codes[:, k] > 0, k].min() > u[codes[:, k] < 0, k].max()


def test_equal_outputs_keep_their_order() -> None:
    assert halves(torch.zeros(4, 1))[:, 0].tolist() == [1, 1, -1, -1]


def test_loss_is_its_equation() -> None:
    method = BiHalf(code_length=5, num_classes=3, num_train=9)
    u, features = outputs(6, 5), outputs(6, 8, seed=1)
    codes, x = rows(halves(u)), rows(features)
    terms = [(cosine(codes[i], codes[j]) - cosine(x[i], x[j])) ** 2 for i in range(6) for j in range(6) if i != j]
    found = method.similarity_loss(u, features, torch.arange(6))
    assert found.item() == pytest.approx(mean(terms), abs=1e-9)


def test_own_term_has_the_gradient_of_the_layer() -> None:
    """gamma (U - B) / (b K), which the authors' layer adds in its backward pass."""
    method = BiHalf(code_length=5, num_classes=3, num_train=9, gamma=2.5)
    u = outputs(6, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(method.quantization_loss(u, torch.empty(0), torch.arange(6)), u)
    assert torch.allclose(gradient, 2.5 * (u - halves(u)) / 30, atol=1e-12)


def test_gradient_passes_the_layer_intact() -> None:
    method = BiHalf(code_length=5, num_classes=3, num_train=9)
    u, features = outputs(6, 5).requires_grad_(), outputs(6, 8, seed=1)
    (found,) = torch.autograd.grad(method.similarity_loss(u, features, torch.arange(6)), u)
    code = halves(u.detach()).requires_grad_()
    cosines = torch.nn.functional.cosine_similarity(code[:, None], code[None], dim=2)
    wanted = torch.nn.functional.cosine_similarity(features[:, None], features[None], dim=2)
    off = 1 - torch.eye(6, dtype=torch.float64)
    (of_code,) = torch.autograd.grad((((cosines - wanted) * off) ** 2).sum() / 30, code)
    assert torch.allclose(found, of_code, atol=1e-12)
