"""GreedyHash: the classification of signs as loops, its straight-through gradient, and which loss it takes."""

import math

import pytest
import torch
from torch.nn import functional

from pipeline.methods.greedyhash import GreedyHash
from tests.losses import dot, made, mean, rows, sign_of


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_classification_of_signs(multi: bool) -> None:
    method, _, _, u, labels, indices = made(GreedyHash, multi=multi)
    u[0, 0] = 0.0
    weight = rows(method.classifier.weight)
    totals = []
    for row, label in zip(rows(u), rows(labels), strict=True):
        logits = [dot(weights, [sign_of(x) for x in row]) for weights in weight]
        if multi:
            chances = [1 / (1 + math.exp(-z)) for z in logits]
            totals.append(-sum(math.log(p if y else 1 - p) for p, y in zip(chances, label, strict=True)))
        else:
            totals.append(math.log(sum(math.exp(z) for z in logits)) - logits[label.index(1.0)])
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(totals), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(GreedyHash, quantization=0.7)
    expected = 0.7 * mean([abs(abs(x) - 1) ** 3 for row in rows(u) for x in row])
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_gradient_passes_the_sign_intact(multi: bool) -> None:
    """The gradient at u is the classifier's gradient with respect to the code, sign(0) = +1."""
    method, _, _, u, labels, indices = made(GreedyHash, multi=multi)
    u[3] = 0.0
    u.requires_grad_()
    method.similarity_loss(u, labels, indices).backward()  # type: ignore[no-untyped-call]
    code = torch.where(u >= 0, 1.0, -1.0).double().requires_grad_()
    logits = method.classifier(code)
    if multi:
        functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum").div(len(u)).backward()  # type: ignore[no-untyped-call]
    else:
        functional.cross_entropy(logits, labels.argmax(dim=1)).backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None and code.grad is not None
    assert torch.allclose(u.grad, code.grad, atol=1e-12)
    assert u.grad.abs().min() > 0


def test_the_training_set_chooses_the_loss() -> None:
    """A batch of one-label images from a multi-label training set is still classified by sigmoids."""
    one, first, every_label, u, labels, indices = made(GreedyHash, multi=False)
    several = made(GreedyHash, multi=False).method
    every_label[-1] = 1
    several.prime(first, every_label)
    torch.manual_seed(0)  # the others' weights
    unknown = GreedyHash(code_length=6, num_classes=4, num_train=12).double()
    values = [method.similarity_loss(u, labels, indices).item() for method in (one, several, unknown)]
    assert values[0] == values[2] != values[1]
