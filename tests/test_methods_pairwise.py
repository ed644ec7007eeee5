"""HashNet, GreedyHash, DCH and DHN: their equations written as loops, the edges, and whether they learn."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import methods
from pipeline.methods import Method
from pipeline.retrieval import evaluate
from pipeline.training.optimization import OPTIMIZERS

NAMES = ["dch", "dhn", "greedyhash", "hashnet"]
PAIRWISE = ["dch", "dhn", "hashnet"]
K, C, N = 8, 4, 12


def make(name: str, *, bits: int = K, classes: int = C, num_train: int = N, **hyperparameters: Any) -> Method:
    torch.manual_seed(0)  # the first weights of a classifier
    return methods.create(name, code_length=bits, num_classes=classes, num_train=num_train, **hyperparameters)


def draw(n: int, *, multi: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Outputs (n, K), with gradient, and labels (n, C), one or several an image."""
    generator = torch.Generator().manual_seed(n)
    u = torch.randn(n, K, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    labels = functional.one_hot(torch.arange(n) % C, C).double()
    if multi:
        labels = ((torch.rand(n, C, generator=generator) < 0.4) + labels).clamp(max=1)
    return u, labels.to(torch.promote_types(dtype, torch.float32))


def rows(u: Tensor) -> list[list[float]]:
    return u.detach().double().tolist()


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def jaccard(a: list[float], b: list[float]) -> float:
    return dot(a, b) / (sum(a) + sum(b) - dot(a, b))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("epoch", [0, 5])
def test_hashnet_similarity_is_equation_4_over_the_bank(multi: bool, epoch: int) -> None:
    method = make("hashnet", alpha=6.0, beta=0.8, step=2).double()
    first, every_label = draw(N, multi=multi)
    method.prime(first.detach(), every_label)
    method.start_epoch(epoch)
    indices = torch.tensor([7, 2, 9, 4, 0])
    u, _ = draw(5, multi=multi)
    loss = method.similarity_loss(u, every_label[indices], indices)

    slope = 0.8 * {0: 1, 5: 3}[epoch] ** 0.5
    bank = first.detach().clone()
    bank[indices] = u.detach()
    codes = [[math.tanh(slope * x) for x in row] for row in rows(bank)]
    labels = rows(every_label)
    pairs = [(i, j) for i in indices.tolist() for j in range(N)]
    alike = {(i, j): dot(labels[i], labels[j]) > 0 for i, j in pairs}
    total = 0.0
    for i, j in pairs:
        theta = 6.0 / K * dot(codes[i], codes[j])
        kind = sum(alike[pair] == alike[i, j] for pair in pairs)
        certainty = jaccard(labels[i], labels[j]) if alike[i, j] else 1.0
        total += certainty * len(pairs) / kind * (math.log(1 + math.exp(theta)) - alike[i, j] * theta)
    assert loss.item() == pytest.approx(total / len(pairs), abs=1e-6)


def test_hashnet_scale_grows_by_steps_and_relax_uses_it() -> None:
    method = make("hashnet", beta=2.0, step=3, power=0.5)
    u, _ = draw(4, multi=False, dtype=torch.float32)
    seen = []
    for epoch in range(7):
        method.start_epoch(epoch)
        relaxed = method.relax(u.detach())
        seen.append((relaxed.double().atanh() / u.detach().double()).median().item())
        assert relaxed.abs().max() <= 1
    expected = [2.0 * (1 + epoch // 3) ** 0.5 for epoch in range(7)]
    assert seen == pytest.approx(expected, rel=1e-3)
    assert [torch.equal(method.relax(u), torch.tanh(2.0 * 3**0.5 * u))] == [True]


def test_hashnet_a_bank_entry_is_relaxed_with_the_current_scale() -> None:
    """The loss is the same whether the bank was filled before the scale grew or after."""
    u, labels = draw(N, multi=True)
    old, new = make("hashnet").double(), make("hashnet").double()
    old.prime(u.detach(), labels)
    for method in (old, new):
        method.start_epoch(9)
    new.prime(u.detach(), labels)
    half = torch.arange(N // 2)
    losses = [method.similarity_loss(u[half], labels[half], half).item() for method in (old, new)]
    assert losses[0] == losses[1]


def test_hashnet_own_term_is_zero() -> None:
    method = make("hashnet")
    u, labels = draw(N, multi=False, dtype=torch.float32)
    own = method.quantization_loss(u, labels, torch.arange(N))
    assert own.shape == ()
    assert own.item() == 0
    (method.similarity_loss(u, labels, torch.arange(N)) + own).backward()
    assert u.grad is not None


@pytest.mark.parametrize("multi", [False, True])
def test_greedyhash_similarity_is_the_classification_of_signs(multi: bool) -> None:
    method = make("greedyhash").double()
    u, labels = draw(N, multi=multi)
    with torch.no_grad():
        u[0, 0] = 0.0
    method.prime(u.detach(), labels)
    weight = rows(method.classifier.weight)  # type: ignore[union-attr, arg-type]
    total = 0.0
    for outputs, label in zip(rows(u), rows(labels), strict=True):
        code = [1.0 if x >= 0 else -1.0 for x in outputs]
        logits = [dot(row, code) for row in weight]
        if multi:
            chances = [1 / (1 + math.exp(-z)) for z in logits]
            total -= sum(math.log(p if y else 1 - p) for p, y in zip(chances, label, strict=True))
        else:
            total -= logits[label.index(1.0)] - math.log(sum(math.exp(z) for z in logits))
    loss = method.similarity_loss(u, labels, torch.arange(N))
    assert loss.item() == pytest.approx(total / N, abs=1e-6)


def test_greedyhash_own_term() -> None:
    method = make("greedyhash", quantization=0.7).double()
    u, labels = draw(N, multi=False)
    expected = 0.7 * mean([abs(abs(x) - 1) ** 3 for row in rows(u) for x in row])
    own = method.quantization_loss(u, labels, torch.arange(N))
    assert own.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_greedyhash_gradient_passes_the_sign_intact(multi: bool) -> None:
    """The gradient at u is the classifier's gradient with respect to the code, sign(0) = +1."""
    method = make("greedyhash").double()
    u, labels = draw(N, multi=multi)
    with torch.no_grad():
        u[3] = 0.0
    method.similarity_loss(u, labels, torch.arange(N)).backward()
    code = torch.where(u >= 0, 1.0, -1.0).double().requires_grad_()
    logits = method.classifier(code)  # type: ignore[operator]
    if multi:
        functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum").div(N).backward()
    else:
        functional.cross_entropy(logits, labels.argmax(dim=1)).backward()
    assert u.grad is not None and code.grad is not None
    assert torch.allclose(u.grad, code.grad, atol=1e-12)
    assert u.grad.abs().min() > 0


def test_greedyhash_the_training_set_chooses_the_loss() -> None:
    """A batch of one-label images from a multi-label training set is still classified by sigmoids."""
    u, labels = draw(N, multi=False, dtype=torch.float32)
    several = labels.clone()
    several[-1] = 1
    half = torch.arange(N // 2)
    values = {}
    for kind, every_label in (("one", labels), ("several", several), ("unknown", None)):
        method = make("greedyhash")
        if every_label is not None:
            method.prime(u.detach(), every_label)
        values[kind] = method.similarity_loss(u[half], labels[half], half).item()
    assert values["one"] == values["unknown"] != values["several"]


def cauchy_distance(a: list[float], b: list[float]) -> float:
    return K / 2 * (1 - dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)))


@pytest.mark.parametrize("multi", [False, True])
def test_dch_similarity_is_equation_8(multi: bool) -> None:
    method = make("dch", gamma=3.0)
    u, labels = draw(N, multi=multi)
    codes = [[math.tanh(x) for x in row] for row in rows(u)]
    pairs = [(i, j) for i in range(N) for j in range(N) if i != j]
    alike = {(i, j): bool((labels[i] * labels[j]).any()) for i, j in pairs}
    total = 0.0
    for i, j in pairs:
        distance = cauchy_distance(codes[i], codes[j])
        kind = sum(alike[pair] == alike[i, j] for pair in pairs)
        bracket = alike[i, j] * math.log(distance / 3.0) + math.log(1 + 3.0 / distance)
        total += len(pairs) / kind * bracket
    loss = method.similarity_loss(u, labels, torch.arange(N))
    assert loss.item() == pytest.approx(total / len(pairs), abs=1e-6)


def test_dch_own_term_is_equation_9() -> None:
    method = make("dch", gamma=3.0, quantization=0.7)
    u, labels = draw(N, multi=False)
    codes = [[abs(math.tanh(x)) for x in row] for row in rows(u)]
    expected = 0.7 * mean([math.log(1 + cauchy_distance(code, [1.0] * K) / 3.0) for code in codes])
    own = method.quantization_loss(u, labels, torch.arange(N))
    assert own.item() == pytest.approx(expected, abs=1e-6)


def test_dch_equal_codes_cost_nothing_where_similar_and_stay_finite_where_not() -> None:
    method = make("dch")
    u = torch.randn(1, K, generator=torch.Generator().manual_seed(0)).expand(4, K).clone().requires_grad_()
    for labels, low, high in ((torch.ones(4, C), 0, 1e-4), (torch.eye(4), 5, 20)):
        loss = method.similarity_loss(u, labels, torch.arange(4))
        (gradient,) = torch.autograd.grad(loss, u)
        assert low <= loss.item() < high
        assert gradient.isfinite().all()


@pytest.mark.parametrize("multi", [False, True])
def test_dhn_similarity_is_the_pairwise_cross_entropy(multi: bool) -> None:
    method = make("dhn", scale=0.9)
    u, labels = draw(N, multi=multi)
    codes = [[math.tanh(0.9 * x) for x in row] for row in rows(u)]
    terms = []
    for i in range(N):
        for j in range(N):
            theta = dot(codes[i], codes[j]) / 2
            if i != j:
                terms.append(math.log(1 + math.exp(theta)) - bool((labels[i] * labels[j]).any()) * theta)
    loss = method.similarity_loss(u, labels, torch.arange(N))
    assert loss.item() == pytest.approx(mean(terms), abs=1e-6)


def test_dhn_own_term() -> None:
    method = make("dhn", scale=0.9, quantization=0.7)
    u, labels = draw(N, multi=False)
    terms = [math.log(math.cosh(abs(math.tanh(0.9 * x)) - 1)) for row in rows(u) for x in row]
    own = method.quantization_loss(u, labels, torch.arange(N))
    assert own.item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def edge(case: str) -> tuple[Tensor, Tensor]:
    u = torch.randn(4, K, generator=torch.Generator().manual_seed(1))
    one_class = torch.eye(C)[torch.zeros(4, dtype=torch.int64)]
    cases = {
        "batch of one": (u[:1], torch.eye(C)[:1]),
        "one class": (u, one_class),
        "no positive pair": (u, torch.eye(C)),
        "several labels": (u, torch.tensor([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]])),
        "no label": (u, torch.zeros(4, C)),
        "bfloat16": (u.bfloat16(), torch.eye(C)),
        "all zero": (torch.zeros(4, K), torch.eye(C)),
        "far out": (1e4 * u, torch.eye(C)),
    }
    return cases[case]


EDGES = [
    "batch of one", "one class", "no positive pair", "several labels", "no label", "bfloat16", "all zero",
    "far out",
]  # fmt: skip


def check_finite(name: str, case: str) -> None:
    for primed in (False, True):
        method = make(name, num_train=4)
        u, labels = edge(case)
        u = u.clone().requires_grad_()
        indices = torch.arange(len(u))
        if primed:
            method.prime(edge("one class")[0], torch.eye(C))
        method.start_epoch(3)
        parts = [method.similarity_loss(u, labels, indices), method.quantization_loss(u, labels, indices)]
        for part in parts:
            assert part.shape == ()
            assert part.dtype == torch.float32
            assert part.isfinite()
        sum(parts).backward()  # type: ignore[union-attr]
        assert u.grad is not None and u.grad.isfinite().all()
        assert method.relax(u).abs().max() <= 1
        method.end_epoch(3)


@pytest.mark.parametrize("case", EDGES)
def test_dch_is_finite(case: str) -> None:
    check_finite("dch", case)


@pytest.mark.parametrize("case", EDGES)
def test_dhn_is_finite(case: str) -> None:
    check_finite("dhn", case)


@pytest.mark.parametrize("case", EDGES)
def test_greedyhash_is_finite(case: str) -> None:
    check_finite("greedyhash", case)


@pytest.mark.parametrize("case", EDGES)
def test_hashnet_is_finite(case: str) -> None:
    check_finite("hashnet", case)


@pytest.mark.parametrize("name", ["dch", "dhn"])
def test_a_lone_image_has_no_pairs(name: str) -> None:
    u, labels = draw(1, multi=False)
    loss = make(name).similarity_loss(u, labels, torch.arange(1))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert u.grad is not None and not u.grad.any()


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_losses_know_no_order(name: str) -> None:
    """Classes and images may be numbered in any way."""
    u, labels = draw(N, multi=True)
    order, classes = torch.randperm(N), torch.randperm(C)
    plain, mixed = make(name).double(), make(name).double()
    plain.prime(u.detach(), labels)
    mixed.prime(u.detach()[order], labels[order][:, classes])
    everything = torch.arange(N)
    a = plain.similarity_loss(u, labels, everything).item()
    b = mixed.similarity_loss(u[order], labels[order][:, classes], everything).item()
    assert a == pytest.approx(b, abs=1e-9)


class Free:
    """Outputs that are parameters themselves, trained as the loop trains a network's."""

    def __init__(self, name: str, *, n: int = 200, classes: int = 10, bits: int = 32) -> None:
        self.method = make(name, bits=bits, classes=classes, num_train=n)
        self.labels = torch.eye(classes)[torch.arange(n) % classes]
        self.generator = torch.Generator().manual_seed(0)
        self.u = (0.1 * torch.randn(n, bits, generator=self.generator)).requires_grad_()
        self.method.prime(self.u.detach(), self.labels)
        self.optimizer = OPTIMIZERS["adam"]([self.u, *self.method.parameters()], lr=0.02)

    def loss(self, indices: Tensor) -> Tensor:
        batch = (self.u[indices], self.labels[indices], indices)
        return self.method.similarity_loss(*batch) + self.method.quantization_loss(*batch)

    def step(self, indices: Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def separate(self, epochs: int = 20, batch: int = 50) -> float:
        for epoch in range(epochs):
            self.method.start_epoch(epoch)
            for indices in torch.randperm(len(self.u), generator=self.generator).split(batch):
                self.step(indices)
            self.method.end_epoch(epoch)
        codes, labels = (self.u.detach() >= 0).numpy(), self.labels.numpy()
        return evaluate(codes, labels, codes, labels).mean_average_precision


def test_dch_separates_the_classes() -> None:
    assert Free("dch").separate() > 0.99


def test_dhn_separates_the_classes() -> None:
    assert Free("dhn").separate() > 0.99


def test_greedyhash_separates_the_classes() -> None:
    assert Free("greedyhash").separate() > 0.99


def test_hashnet_separates_the_classes() -> None:
    assert Free("hashnet").separate() > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_one_step_reduces_the_loss(name: str) -> None:
    free = Free(name)
    everything = torch.arange(200)
    before = free.loss(everything).item()
    free.step(everything)
    assert free.loss(everything).item() < before
