"""DPN: its hinge as loops, its targets, and outputs past the margin."""

import pytest
import torch

from pipeline.methods.dpn import DPN
from tests.losses import made, mean, rows, sign_of


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_hinge(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DPN, multi=multi, margin=0.8)
    centers = rows(method.targets.centers + method.targets.tie_breaks)
    terms = []
    for row, own in zip(rows(u), rows(labels), strict=True):
        for k, x in enumerate(row):
            target = sign_of(sum(center[k] for center, y in zip(centers, own, strict=True) if y))
            terms.append(max(0.8 - x * target, 0.0))
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_targets_have_half_of_their_bits_set() -> None:
    method = DPN(code_length=32, num_classes=10, num_train=8)
    assert not method.targets.centers.sum(dim=1).any()


def test_outputs_past_the_margin_have_no_gradient() -> None:
    method, _, _, _, labels, indices = made(DPN)
    u = (1.5 * method.targets(labels)).requires_grad_()
    loss = method.similarity_loss(u, labels, indices)
    (gradient,) = torch.autograd.grad(loss, u)
    assert loss.item() == 0 and not gradient.any()
    assert method.quantization_loss(u, labels, indices).item() == 0
