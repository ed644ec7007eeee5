"""ADSH: its losses as loops, and the discrete step that solves the database's codes."""

import itertools
import time
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline import methods
from pipeline.methods.adsh import ADSH
from tests.losses import dot, made, overlap, rows, seeded

B, N, K = 5, 12, 6


def make(num_train: int, *, bits: int, classes: int, **hyperparameters: Any) -> ADSH:
    return ADSH(code_length=bits, num_classes=classes, num_train=num_train, **hyperparameters)


def similarities(some: list[list[float]], all_labels: list[list[float]], kind: str) -> list[list[float]]:
    table = []
    for own in some:
        alike = [overlap(own, other) for other in all_labels]
        different = -1.0 if kind == "signed" else -sum(alike) / max(1, len(alike) - sum(alike))
        table.append([1.0 if same else different for same in alike])
    return table


@pytest.mark.parametrize("kind", ["balanced", "signed"])
def test_losses_are_their_equations(kind: str) -> None:
    method, _, every_label, u, labels, indices = made(ADSH, similarity=kind, gamma=30.0)
    table = similarities(rows(labels), rows(every_label), kind)
    v, h = rows(method.codes), rows(torch.tanh(u))
    similarity = sum((dot(h[i], v[j]) - K * table[i][j]) ** 2 for i in range(B) for j in range(N))
    own = sum((v[int(indices[i])][k] - h[i][k]) ** 2 for i in range(B) for k in range(K))
    divisor = B * N * K**2
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(similarity / divisor, abs=1e-6)
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(30 * own / divisor, abs=1e-6)


def objective(method: ADSH, kind: str) -> float:
    """J(V) over the visited images, as loops."""
    omega = [i for i, visited in enumerate(method.visited.tolist()) if visited]
    all_labels, h, v = rows(method.database_labels), rows(method.outputs), rows(method.codes)
    table = similarities([all_labels[i] for i in omega], all_labels, kind)
    fit = sum((dot(h[i], v[j]) - K * table[row][j]) ** 2 for row, i in enumerate(omega) for j in range(len(v)))
    return fit + method.gamma * sum((v[i][k] - h[i][k]) ** 2 for i in omega for k in range(K))


@pytest.mark.parametrize("kind", ["balanced", "signed"])
@pytest.mark.parametrize("gamma", [0.0, 200.0])
def test_bit_updates_are_the_best_of_all(kind: str, gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _, u, labels, indices = made(ADSH, similarity=kind, gamma=gamma)
    method.similarity_loss(u, labels, indices)
    # Blocks of two images at most, so that they are put together.
    monkeypatch.setattr("pipeline.methods.adsh._ENTRIES_AT_ONCE", 2 * N)
    target, interaction = method._terms()
    before = method.codes.clone()
    method.end_epoch(0)
    after = method.codes.clone()
    method.codes.copy_(before)
    reached = objective(method, kind)
    for bit in range(K):
        column = torch.where(target[:, bit] >= method.codes @ interaction[:, bit], 1.0, -1.0).double()
        method.codes[:, bit] = column
        # Each image's bit counts by itself, so the best column is found one image at a time.
        updated = objective(method, kind)
        for image in range(N):
            method.codes[image, bit] *= -1
            assert objective(method, kind) >= updated - 1e-9
            method.codes[image, bit] *= -1
        assert updated <= reached + 1e-9
        reached = updated
    assert torch.equal(method.codes, after)


def test_update_equals_brute_force_over_all_columns() -> None:
    """One bit, so one step is the whole problem: no other of the 2^n columns does better."""
    labels = one_hot(torch.tensor([0, 0, 1, 1, 2, 2, 0]), 3).double()
    method = make(7, bits=1, classes=3, gamma=5.0).double()
    u = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    method.prime(u, labels)
    method.start_epoch(0)
    method.similarity_loss(u[:4], labels[:4], torch.arange(4))
    method.end_epoch(0)
    table = torch.tensor(similarities(rows(labels[:4]), rows(labels), "balanced"), dtype=torch.float64)
    h = torch.tanh(u[:4])

    def cost(column: Tensor) -> float:
        return float((h @ column[None] - table).square().sum() + 5 * (column[:4] - h[:, 0]).square().sum())

    columns = [torch.tensor(signs, dtype=torch.float64) for signs in itertools.product([-1.0, 1.0], repeat=7)]
    assert cost(method.codes[:, 0]) == pytest.approx(min(map(cost, columns)), abs=1e-9)


def test_rows_of_balanced_similarities_sum_to_zero() -> None:
    method, _, _, _, labels, _ = made(ADSH)
    same, _, ratio = method._similarities(labels)
    table = ((1 + ratio) * same - ratio)[:, method.sets.of]
    # An image that shares a label with all has nothing to balance.
    sums = table.sum(dim=1)[(table < 0).any(dim=1)]
    assert len(sums) and torch.allclose(sums, torch.zeros_like(sums))


def test_update_is_quick_and_small_on_a_large_database(monkeypatch: pytest.MonkeyPatch) -> None:
    n, bits, classes = 50_000, 16, 10
    generator = seeded()
    method = make(n, bits=bits, classes=classes, sample=200)
    labels = one_hot(torch.randint(classes, (n,), generator=generator), classes).float()
    method.prime(torch.randn(n, bits, generator=generator), labels)
    method.start_epoch(0)
    indices = torch.randperm(n, generator=generator)[:200]
    method.similarity_loss(torch.randn(200, bits, generator=generator), labels[indices], indices)
    blocks: list[Tensor] = []
    original = method._similarities

    def watched(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = original(labels)
        blocks.append(found[0])
        return found

    monkeypatch.setattr(method, "_similarities", watched)
    start = time.perf_counter()
    method.end_epoch(0)
    assert time.perf_counter() - start < 2
    # Similarities come in blocks of rows, each of 4 million entries (16 MiB) at most; all else is (n, K) or (K, K).
    assert sum(len(block) for block in blocks) == 200
    assert max(block.numel() for block in blocks) <= 1 << 22
    target, interaction = method._terms()
    assert target.shape == (n, bits) and interaction.shape == (bits, bits)


def test_an_epoch_samples_the_database() -> None:
    method = make(100, bits=8, classes=2, sample=30)
    assert (method.epoch_size(100), method.epoch_size(20)) == (30, 20)
    assert methods.kind("adsh").trains_on == method.trains_on == "database"
    # Others don't.
    assert methods.kind("dpah").trains_on == "train"
