"""dbdh, adsh and dpah: against their equations written as loops, their discrete steps, and real training."""

import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import datasets, methods, protocols, quantizers
from pipeline.encoding import device as devices
from pipeline.encoding.network import build
from pipeline.methods import Method
from pipeline.methods.adsh import ADSH
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.retrieval import evaluate
from pipeline.runtime.errors import UserError
from pipeline.training.history import History
from pipeline.training.loop import Trainer
from pipeline.training.optimization import OPTIMIZERS

NAMES = ["adsh", "dbdh", "dpah"]
N, B, C, K = 12, 5, 4, 6


def drawn(seed: int = 0, *, n: int = N, multi: bool = True) -> tuple[Tensor, Tensor]:
    """Outputs (n, K) around the clipping bounds, and labels (n, C) of one class each or of one to three."""
    generator = torch.Generator().manual_seed(seed)
    u = 1.3 * torch.randn(n, K, generator=generator, dtype=torch.float64)
    labels = torch.nn.functional.one_hot(torch.arange(n) % C, C).double()
    if multi:
        labels = torch.maximum(labels, (torch.rand(n, C, generator=generator) < 0.25).double())
    return u, labels


def made(name: str, **hyperparameters: Any) -> tuple[Method, Tensor, Tensor, Tensor]:
    """A primed float64 method, then a batch that differs from what it was primed with."""
    u, labels = drawn()
    method = methods.create(name, code_length=K, num_classes=C, num_train=N, **hyperparameters).double()
    method.prime(u, labels)
    method.start_epoch(0)
    indices = torch.tensor([7, 2, 11, 0, 5])
    return method, drawn(1)[0][:B], labels[indices], indices


def sign(x: float) -> float:
    return 1.0 if x >= 0 else -1.0


def overlap(a: list[float], b: list[float]) -> bool:
    return any(x > 0 and y > 0 for x, y in zip(a, b, strict=True))


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


# dbdh


@pytest.mark.parametrize("pairs", ["balanced", "plain"])
def test_dbdh_similarity_is_its_equation(pairs: str) -> None:
    method, u, labels, indices = made("dbdh", pairs=pairs, slope=2.5)
    start, all_labels = drawn()
    mean = start.mean(dim=0).tolist()
    bank = [[sign(x - m) for x, m in zip(row, mean, strict=True)] for row in start.tolist()]
    codes = [[sign(x) for x in row] for row in u.tolist()]
    for index, code in zip(indices.tolist(), codes, strict=True):
        bank[index] = code
    losses: dict[bool, list[float]] = {True: [], False: []}
    for code, own in zip(codes, labels.tolist(), strict=True):
        for other, others in zip(bank, all_labels.tolist(), strict=True):
            psi, alike = 2.5 / K * dot(code, other), overlap(own, others)
            losses[alike].append(math.log(1 + math.exp(psi)) - alike * psi)
    if pairs == "plain":
        expected = sum(losses[True] + losses[False]) / (B * N)
    else:
        expected = sum(sum(part) / len(part) / 2 for part in losses.values())
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)
    assert method.bank.tolist() == bank  # type: ignore[union-attr]


@pytest.mark.parametrize("power", [1, 2])
def test_dbdh_balance_is_its_equation(power: int) -> None:
    method, u, labels, indices = made("dbdh", alpha=0.7, power=power)
    means = [sum(sign(x) for x in row) / K for row in u.tolist()]
    expected = 0.7 * sum(abs(mean) ** power for mean in means) / B
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


def test_dbdh_gradient_goes_straight_through_and_stops_at_one() -> None:
    method, u, labels, indices = made("dbdh")
    u[0, 0], u[0, 1] = 1.5, -1.5
    u.requires_grad_()
    method.similarity_loss(u, labels, indices).backward()
    # The same signs well inside the bounds: what the discrete loss's own gradient is.
    inside = (u.detach().sign() / 2).requires_grad_()
    made("dbdh")[0].similarity_loss(inside, labels, indices).backward()
    assert u.grad is not None and inside.grad is not None
    assert torch.equal(u.grad, inside.grad * (u.detach().abs() < 1))
    assert u.grad[0, :2].tolist() == [0, 0] and bool((u.abs() > 1).any()) and bool(u.grad.any())


def test_dbdh_relaxed_codes_are_clipped() -> None:
    method = made("dbdh")[0]
    assert method.relax(torch.tensor([[-3.0, -0.5, 0.0, 2.0]])).tolist() == [[-1, -0.5, 0, 1]]


# adsh


def adsh_similarities(rows: list[list[float]], all_labels: list[list[float]], kind: str) -> list[list[float]]:
    table = []
    for own in rows:
        alike = [overlap(own, other) for other in all_labels]
        different = -1.0 if kind == "signed" else -sum(alike) / max(1, len(alike) - sum(alike))
        table.append([1.0 if same else different for same in alike])
    return table


@pytest.mark.parametrize("kind", ["balanced", "signed"])
def test_adsh_losses_are_their_equations(kind: str) -> None:
    method, u, labels, indices = made("adsh", similarity=kind, gamma=30.0)
    table = adsh_similarities(labels.tolist(), drawn()[1].tolist(), kind)
    v = method.codes.tolist()  # type: ignore[operator, union-attr]
    h = [[math.tanh(x) for x in row] for row in u.tolist()]
    similarity = sum((dot(h[i], v[j]) - K * table[i][j]) ** 2 for i in range(B) for j in range(N))
    own = sum((v[int(indices[i])][k] - h[i][k]) ** 2 for i in range(B) for k in range(K))
    divisor = B * N * K**2
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(similarity / divisor, abs=1e-6)
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(30 * own / divisor, abs=1e-6)


def adsh_objective(method: ADSH, kind: str) -> float:
    """J(V) over the visited images, as loops."""
    omega = [i for i, visited in enumerate(method.visited.tolist()) if visited]
    all_labels, h, v = method.database_labels.tolist(), method.outputs.tolist(), method.codes.tolist()
    table = adsh_similarities([all_labels[i] for i in omega], all_labels, kind)
    fit = sum((dot(h[i], v[j]) - K * table[row][j]) ** 2 for row, i in enumerate(omega) for j in range(len(v)))
    return fit + method.gamma * sum((v[i][k] - h[i][k]) ** 2 for i in omega for k in range(K))


@pytest.mark.parametrize("kind", ["balanced", "signed"])
@pytest.mark.parametrize("gamma", [0.0, 200.0])
def test_adsh_bit_updates_are_the_best_of_all(kind: str, gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    method, u, labels, indices = made("adsh", similarity=kind, gamma=gamma)
    assert isinstance(method, ADSH)
    method.similarity_loss(u, labels, indices)
    # Blocks of two images at most, so that they are put together.
    monkeypatch.setattr("pipeline.methods.adsh._ENTRIES_AT_ONCE", 2 * N)
    target, interaction = method._terms()
    before = method.codes.clone()
    method.end_epoch(0)
    after = method.codes.clone()
    method.codes.copy_(before)
    objective = adsh_objective(method, kind)
    for bit in range(K):
        column = torch.where(target[:, bit] >= method.codes @ interaction[:, bit], 1.0, -1.0).double()
        method.codes[:, bit] = column
        # Each image's bit counts by itself, so the best column is found one image at a time.
        updated = adsh_objective(method, kind)
        for image in range(N):
            method.codes[image, bit] *= -1
            assert adsh_objective(method, kind) >= updated - 1e-9
            method.codes[image, bit] *= -1
        assert updated <= objective + 1e-9
        objective = updated
    assert torch.equal(method.codes, after)


def test_adsh_update_equals_brute_force_over_all_columns() -> None:
    """One bit, so one step is the whole problem: no other of the 2^n columns does better."""
    labels = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 2, 2, 0]), 3).double()
    method = methods.create("adsh", code_length=1, num_classes=3, num_train=7, gamma=5.0).double()
    assert isinstance(method, ADSH)
    u = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    method.prime(u, labels)
    method.start_epoch(0)
    method.similarity_loss(u[:4], labels[:4], torch.arange(4))
    method.end_epoch(0)
    table = torch.tensor(adsh_similarities(labels[:4].tolist(), labels.tolist(), "balanced"), dtype=torch.float64)
    h = torch.tanh(u[:4])

    def objective(column: Tensor) -> float:
        return float((h @ column[None] - table).square().sum() + 5 * (column[:4] - h[:, 0]).square().sum())

    columns = [torch.tensor(signs, dtype=torch.float64) for signs in itertools.product([-1.0, 1.0], repeat=7)]
    assert objective(method.codes[:, 0]) == pytest.approx(min(map(objective, columns)), abs=1e-9)


def test_adsh_rows_of_balanced_similarities_sum_to_zero() -> None:
    method, _, labels, _ = made("adsh")
    assert isinstance(method, ADSH)
    table = method._similarities(labels)
    # An image that shares a label with all has nothing to balance.
    sums = table.sum(dim=1)[(table < 0).any(dim=1)]
    assert len(sums) and torch.allclose(sums, torch.zeros_like(sums))


def test_adsh_update_is_quick_and_small_on_a_large_database(monkeypatch: pytest.MonkeyPatch) -> None:
    n, bits, classes = 50_000, 16, 10
    generator = torch.Generator().manual_seed(0)
    method = methods.create("adsh", code_length=bits, num_classes=classes, num_train=n, sample=200)
    labels = torch.nn.functional.one_hot(torch.randint(classes, (n,), generator=generator), classes).float()
    method.prime(torch.randn(n, bits, generator=generator), labels)
    method.start_epoch(0)
    indices = torch.randperm(n, generator=generator)[:200]
    method.similarity_loss(torch.randn(200, bits, generator=generator), labels[indices], indices)
    assert isinstance(method, ADSH)
    blocks: list[Tensor] = []
    original = method._similarities

    def watched(labels: Tensor) -> Tensor:
        blocks.append(original(labels))
        return blocks[-1]

    monkeypatch.setattr(method, "_similarities", watched)
    start = time.perf_counter()
    method.end_epoch(0)
    assert time.perf_counter() - start < 2
    # S comes in blocks of rows, each of 4 million entries (16 MiB) at most; all else is (n, K) or (K, K).
    assert sum(len(block) for block in blocks) == 200
    assert max(block.numel() for block in blocks) <= 1 << 22
    target, interaction = method._terms()
    assert target.shape == (n, bits) and interaction.shape == (bits, bits)


def test_adsh_samples_and_takes_the_database() -> None:
    method = methods.create("adsh", code_length=8, num_classes=2, num_train=100, sample=30)
    assert (method.epoch_size(100), method.epoch_size(20)) == (30, 20)
    assert methods.training_part("adsh") == method.trains_on == "database"
    assert methods.training_part("dpah") == "train"
    with pytest.raises(UserError, match="unknown method 'adsg'"):
        methods.training_part("adsg")


# dpah


def test_dpah_similarity_is_its_equation() -> None:
    method, u, labels, indices = made("dpah", scale=7.0)
    labels[0] = 1  # an image of all classes has no other class to be held against
    centers = [[math.tanh(x) for x in row] for row in method.centers.tolist()]  # type: ignore[union-attr, operator]
    total = 0.0
    for row, own in zip(u.tolist(), labels.tolist(), strict=True):
        h = [math.tanh(x) for x in row]
        d = [sum((x - m) ** 2 for x, m in zip(h, center, strict=True)) / 4 for center in centers]
        costs = []
        for c in range(C):
            if own[c]:
                others = sum(math.exp(7 * (d[c] - d[n]) / K) for n in range(C) if not own[n])
                costs.append(math.log(1 + others))
        total += sum(costs) / len(costs)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(total / B, abs=1e-6)


def test_dpah_kurtosis_is_its_equation() -> None:
    method, u, labels, indices = made("dpah", kurtosis=0.3)
    total = 0.0
    for bit in range(K):
        h = [math.tanh(x) for x in u[:, bit].tolist()]
        mean = sum(h) / B
        variance = sum((x - mean) ** 2 for x in h) / B
        fourth = sum((x - mean) ** 4 for x in h) / B
        total += (fourth - variance**2) / (variance**2 + 1e-6)
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.3 * total / K, abs=1e-6)


def test_dpah_kurtosis_is_zero_for_balanced_bits_only() -> None:
    method = methods.create("dpah", code_length=2, num_classes=2, num_train=4, kurtosis=1.0)
    # tanh(20) is 1 in float32.
    balanced = 20 * torch.tensor([[1.0, -1], [1, 1], [-1, 1], [-1, -1]])
    rows = torch.arange(4)
    assert method.quantization_loss(balanced, torch.ones(4, 2), rows).item() == 0
    # One in four: 1 / (3/16) - 3 - 1 = 4/3.
    uneven = 20 * torch.tensor([[1.0, 1], [1, 1], [1, 1], [-1, -1]])
    assert method.quantization_loss(uneven, torch.ones(4, 2), rows).item() == pytest.approx(4 / 3, rel=1e-5)
    between = torch.linspace(-1, 1, 8)[:, None].expand(8, 2)
    assert method.quantization_loss(between, torch.ones(8, 2), rows).item() > 0.3


def test_dpah_centers_are_seeded_trained_and_leave_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (
        methods.create("dpah", code_length=8, num_classes=3, num_train=4, center_seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.centers, again.centers)  # type: ignore[arg-type]
    assert not torch.equal(first.centers, other.centers)  # type: ignore[arg-type]
    assert [name for name, _ in first.named_parameters()] == ["centers"]
    u, labels = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), torch.eye(3)[[0, 1, 1, 2]]
    first.similarity_loss(u, labels, torch.arange(4)).backward()
    assert first.centers.grad.abs().min() > 0  # type: ignore[union-attr]


# all three

EDGES = {
    "one image": (torch.zeros(1, K), torch.eye(C)[:1]),
    "one class only": (drawn()[0][:B].float(), torch.eye(C)[[1] * B]),
    "no positive pair": (drawn()[0][:C].float(), torch.eye(C)),
    "all classes": (drawn()[0][:B].float(), torch.ones(B, C)),
    "no label": (drawn()[0][:B].float(), torch.zeros(B, C)),
    "equal outputs": (torch.zeros(B, K), torch.eye(C)[[0, 1, 2, 3, 0]]),
    "huge outputs": (1e4 * drawn()[0][:B].float(), torch.eye(C)[[0, 1, 2, 3, 0]]),
    "bfloat16": (drawn()[0][:B].bfloat16(), drawn()[1][:B].float()),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_finite_at_the_edges(name: str, edge: str) -> None:
    u, labels = EDGES[edge]
    u = u.clone().requires_grad_()
    method = methods.create(name, code_length=K, num_classes=C, num_train=len(u))
    indices = torch.arange(len(u))
    method.prime(u.detach().float(), labels)
    method.start_epoch(0)
    losses = [loss(u, labels, indices) for loss in (method.similarity_loss, method.quantization_loss)]
    assert all(loss.ndim == 0 and loss.dtype == torch.float32 and bool(torch.isfinite(loss)) for loss in losses)
    sum(losses, torch.zeros(())).backward()
    assert u.grad is not None and bool(torch.isfinite(u.grad).all())
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in method.parameters())
    method.end_epoch(0)
    assert all(bool(torch.isfinite(buffer).all()) for buffer in method.buffers())
    assert float(method.relax(u.detach()).abs().max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_method_separates_free_outputs(name: str) -> None:
    n, classes, bits = 200, 10, 32
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(classes)[torch.arange(n) % classes]
    u = nn.Parameter(0.1 * torch.randn(n, bits, generator=generator))
    method = methods.create(name, code_length=bits, num_classes=classes, num_train=n)
    optimizer = OPTIMIZERS["adam"]([u, *method.parameters()], lr=0.05)
    method.prime(u.detach(), labels)
    for epoch in range(60):
        method.start_epoch(epoch)
        for indices in torch.randperm(n, generator=generator)[: method.epoch_size(n)].split(100):
            optimizer.zero_grad()
            batch = (u[indices], labels[indices], indices)
            (method.similarity_loss(*batch) + method.quantization_loss(*batch)).backward()
            optimizer.step()
        method.end_epoch(epoch)
    codes = np.where(u.detach().numpy() >= 0, 1, -1).astype(np.int8)
    found = evaluate(codes, labels.numpy(), codes, labels.numpy(), precision_at=(1,))
    assert found.mean_average_precision > 0.99


# the loop


@pytest.fixture(scope="module")
def digits() -> tuple[Prepared, Split]:
    dataset = datasets.create("digits", path=None, image_size=8)
    data = Prepared(np.stack(list(dataset.images())), dataset.labels, {})
    counts = {"query": 10, "validation": 5, "train": 10}
    return data, protocols.create("counts", per_class=counts).split(data.labels, 0)


SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "optimizer": {
        "name": "adam",
        "learning_rate": 0.002,
        "backbone_scale": 1.0,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
    "augmentation": {"crop_padding": 0, "flip": False},
    "selection": "last",
    "validate_every": 1,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_trains_on_its_part_of_the_split(
    name: str, digits: tuple[Prepared, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, split = digits
    indices = split.training_indices(methods.training_part(name))
    extra = {"sample": 100} if name == "adsh" else {}
    device = torch.device("cpu")
    devices.make_deterministic(0, device)
    network = build({"name": "cnn", "weights": "none", "input_size": 8}, 16, device)
    method = methods.create(name, code_length=16, num_classes=10, num_train=len(indices), **extra)
    visited: list[Tensor] = []
    original = method.similarity_loss

    def watched(u: Tensor, labels: Tensor, batch: Tensor) -> Tensor:
        assert torch.equal(labels, torch.from_numpy(data.labels[indices[batch.numpy()]]).float())
        visited.append(batch)
        return original(u, labels, batch)

    monkeypatch.setattr(method, "similarity_loss", watched)
    trainer = Trainer(
        network,
        method,
        quantizers.create("original"),
        data,
        split,
        SETTINGS,
        quantizer_name="original",
        seed=0,
    )
    fitted = trainer.fit(History(tmp_path / "history.csv"))
    # 100 images an epoch either way: three full batches of 32.
    assert [len(batch) for batch in visited] == [32] * 6
    first, second = (set(torch.cat(visited[i : i + 3]).tolist()) for i in (0, 3))
    assert len(first) == len(second) == 96 and first != second
    assert math.isfinite(fitted.validation_map) and fitted.selected_epoch == 2
    if name == "adsh":
        assert len(indices) == len(split.database) - len(split.validation)
        assert not set(indices) & (set(split.validation) | set(split.query))
        assert max(first | second) > len(split.train)
    else:
        assert np.array_equal(indices, split.train)
