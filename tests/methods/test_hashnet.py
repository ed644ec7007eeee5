"""HashNet: its weighted likelihood as loops, and the scale that grows from epoch to epoch."""

import math

import pytest
import torch

from pipeline.methods.hashnet import HashNet
from tests.losses import dot, made, outputs, overlap, rows, stored


def jaccard(a: list[float], b: list[float]) -> float:
    return dot(a, b) / (sum(a) + sum(b) - dot(a, b))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("epoch", [0, 5])
def test_similarity_is_equation_4_over_the_bank(multi: bool, epoch: int) -> None:
    method, first, every_label, u, some, indices = made(HashNet, multi=multi, alpha=6.0, beta=0.8, step=2)
    method.start_epoch(epoch)
    loss = method.similarity_loss(u, some, indices)

    slope = 0.8 * {0: 1, 5: 3}[epoch] ** 0.5
    codes = [[math.tanh(slope * x) for x in row] for row in stored(first, u, indices)]
    labels = rows(every_label)
    pairs = [(i, j) for i in indices.tolist() for j in range(12)]
    alike = {(i, j): overlap(labels[i], labels[j]) for i, j in pairs}
    total = 0.0
    for i, j in pairs:
        theta = 6.0 / 6 * dot(codes[i], codes[j])
        kind = sum(alike[pair] == alike[i, j] for pair in pairs)
        certainty = jaccard(labels[i], labels[j]) if alike[i, j] else 1.0
        total += certainty * len(pairs) / kind * (math.log(1 + math.exp(theta)) - alike[i, j] * theta)
    assert loss.item() == pytest.approx(total / len(pairs), abs=1e-6)


def test_scale_grows_by_steps_and_relax_uses_it() -> None:
    method, u = made(HashNet, beta=2.0, step=3, power=0.5).method, outputs(4, 6)
    seen = []
    for epoch in range(7):
        method.start_epoch(epoch)
        relaxed = method.relax(u)
        seen.append((relaxed.atanh() / u).median().item())
        assert relaxed.abs().max() <= 1
    assert seen == pytest.approx([2.0 * (1 + epoch // 3) ** 0.5 for epoch in range(7)], rel=1e-3)
    assert torch.equal(method.relax(u), torch.tanh(2.0 * 3**0.5 * u))


def test_a_bank_entry_is_relaxed_with_the_current_scale() -> None:
    """The loss is the same whether the bank was filled before the scale grew or after."""
    old, first, every_label, u, labels, indices = made(HashNet)
    new = made(HashNet).method
    for method in (old, new):
        method.start_epoch(9)
    new.prime(first, every_label)
    assert old.similarity_loss(u, labels, indices).item() == new.similarity_loss(u, labels, indices).item()


def test_own_term_is_zero() -> None:
    method, _, _, u, labels, indices = made(HashNet)
    u.requires_grad_()
    own = method.quantization_loss(u, labels, indices)
    assert own.shape == ()
    assert own.item() == 0
    (method.similarity_loss(u, labels, indices) + own).backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None
