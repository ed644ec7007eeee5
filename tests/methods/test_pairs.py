"""The pairwise likelihood and ADSH's quadratic form equal the plain formulas over all pairs."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.methods import Method, create, sign
from pipeline.methods.shared import pairs
from pipeline.methods.shared.bank import LabelSets
from pipeline.methods.shared.pairs import likelihood
from tests.losses import outputs, seeded

# 11 images are one vector of the compiled loop, and three more.
N, B, K, C = 47, 11, 16, 5

every_engine = pytest.mark.parametrize(
    ("dtype", "small"),
    [(torch.float32, 0), (torch.float32, 1 << 40), (torch.float64, 0)],
    ids=["compiled", "torch", "float64"],
)


@pytest.fixture(autouse=True)
def blocks_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of ten blocks has two images. Where a batch is compared with itself, the last of three has one."""
    monkeypatch.setattr(pairs, "_BLOCK", 5 * B)


def close(found: Tensor, expected: Tensor) -> bool:
    """To 1e-5 of the expected norm."""
    return bool((found.double() - expected).norm() <= 1e-5 * expected.norm())


def with_gradient(loss: Callable[..., Tensor], u: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """The loss of (u, *others), and its gradient with respect to u."""
    u = u.clone().requires_grad_()
    value = loss(u, *others)
    return value.detach(), torch.autograd.grad(value, u)[0]


def cost(psi: Tensor, alike: Tensor) -> Tensor:
    """log(1 + exp psi) - s psi in float64."""
    return torch.logaddexp(torch.zeros_like(psi), psi) - alike * psi


# The function itself.


@every_engine
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 1e3, 1e5])
def test_both_gradients_are_those_of_the_plain_formula(
    dtype: torch.dtype, small: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From |psi| of about 1e-2 to 1e6, where an exponential would be infinite."""
    monkeypatch.setattr(pairs, "_SMALL", small)
    codes, others = (scale * outputs(B, K)).to(dtype), outputs(N, K, 1).to(dtype)
    weights = outputs(4, B, 2).to(dtype)
    weights[0, 0] = 0  # a pair that doesn't count
    sets = torch.randint(4, (N,), generator=seeded())

    def plain(codes: Tensor, others: Tensor) -> Tensor:
        weight = weights.double()[sets].T
        return (weight.abs() * cost(codes.double() @ others.double().T, weight < 0)).mean()

    given = codes.requires_grad_(), others.requires_grad_()
    found, expected = likelihood(*given, weights, sets), plain(*given)
    assert found.dtype == dtype
    assert found.item() == pytest.approx(expected.item(), rel=3e-6)
    upstream = torch.tensor(3.0, dtype=dtype)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, upstream),
        torch.autograd.grad(expected, given, upstream.double()),
        strict=True,
    ):
        assert ours.dtype == dtype and ours.isfinite().all()
        assert close(ours, theirs.double())


@every_engine
@pytest.mark.parametrize("psi", [0.0, 1.0, -1.0, 20.0, -20.0, 87.5, -87.5, 88.5, -88.5, 1e4, -1e4, 1e30, -1e30])
def test_a_pair_has_its_cost_and_slope(
    dtype: torch.dtype, small: int, psi: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_SMALL", small)
    for weight in (1.0, -1.0):
        one = torch.ones(1, 1, dtype=dtype)
        value, gradient = with_gradient(likelihood, psi * one, one, weight * one, torch.zeros(1).long())
        z = torch.tensor(weight * psi, dtype=torch.float64)
        # Beyond 20, torch's softplus is psi itself.
        assert value.item() == pytest.approx(torch.logaddexp(torch.zeros_like(z), z).item(), rel=3e-6, abs=1e-37)
        assert gradient.item() == pytest.approx(weight * z.sigmoid().item(), rel=3e-6, abs=1e-37)


@every_engine
def test_a_loss_that_is_no_number_says_so(dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training loop stops at a loss that is not finite."""
    monkeypatch.setattr(pairs, "_SMALL", small)
    for image, wrong in itertools.product((0, B - 1), (torch.nan, torch.inf)):
        codes = outputs(B, K).to(dtype)
        codes[image, 0] = wrong
        weights = torch.ones(1, B, dtype=dtype)
        assert not likelihood(codes, torch.ones(N, K, dtype=dtype), weights, torch.zeros(N).long()).isfinite()


def test_label_sets_are_the_distinct_rows() -> None:
    labels = (torch.rand(N, C, generator=seeded()) < 0.4).float()
    sets = LabelSets(N, C)
    assert torch.equal(sets.of_images(), torch.zeros(N, C)) and sets.sizes.tolist() == [N]
    sets.find(labels)
    assert torch.equal(sets.of_images(), labels)
    assert len(sets.labels) == len({tuple(row) for row in labels.tolist()}) < N
    assert torch.equal(sets.sizes, torch.bincount(sets.of).float())


# The methods that use it, and ADSH, against their formulas over all pairs in float64.


def dsdh(u: Tensor, method: Any, labels: Tensor, everything: tuple[Tensor, Tensor]) -> Tensor:
    first, every_label = everything
    likelihood = cost(u @ first.T / 2, labels @ every_label.T > 0).mean()
    return likelihood + method.mu * (labels - u @ method.classifier.double()).square().sum(dim=1).mean()


def dbdh(u: Tensor, method: Any, labels: Tensor, everything: tuple[Tensor, Tensor]) -> Tensor:
    clipped, alike = u.clamp(-1, 1), labels @ everything[1].T > 0
    codes = clipped + (sign(u) - clipped).detach()
    total, positives = alike.numel(), int(alike.sum())
    weights = torch.where(alike, total / max(1, positives), total / max(1, total - positives)).double() / 2
    if method.pairs == "plain":
        weights = torch.ones_like(weights)
    return (weights * cost(4 / K * codes @ method.bank.outputs.double().T, alike)).mean()


def hashnet(u: Tensor, method: Any, labels: Tensor, everything: tuple[Tensor, Tensor]) -> Tensor:
    first, every_label = everything
    shared = labels @ every_label.T
    total, positives = shared.numel(), int((shared > 0).sum())
    jaccard = shared / (labels.sum(dim=1, keepdim=True) + every_label.sum(dim=1) - shared).clamp(min=1)
    weights = torch.where(shared > 0, jaccard * total / max(1, positives), total / max(1, total - positives))
    theta = 5 / K * (method.beta * u).tanh() @ (method.beta * first).tanh().T
    return (weights * cost(theta, shared > 0)).mean()


def dhn(u: Tensor, method: Any, labels: Tensor, everything: tuple[Tensor, Tensor]) -> Tensor:
    each = cost(u.tanh() @ u.tanh().T / 2, labels @ labels.T > 0)
    return each[~torch.eye(B, dtype=torch.bool)].mean()


def adsh(u: Tensor, method: Any, labels: Tensor, everything: tuple[Tensor, Tensor]) -> Tensor:
    same = (labels @ everything[1].T > 0).double()
    alike = same.sum(dim=1, keepdim=True)
    ratio = alike / (N - alike).clamp(min=1) if method.similarity == "balanced" else torch.ones_like(alike)
    similarities = torch.where(same > 0, 1.0, -ratio)
    return (u.tanh() @ method.codes.double().T / K - similarities).square().mean()


PLAIN: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "dsdh": (dsdh, {}),
    "dbdh": (dbdh, {}),
    "dbdh, plain": (dbdh, {"pairs": "plain"}),
    "hashnet": (hashnet, {}),
    "dhn": (dhn, {}),
    "adsh": (adsh, {"sample": 20}),
    "adsh, signed": (adsh, {"sample": 20, "similarity": "signed"}),
}
LABELS: dict[str, Tensor] = {
    "single-label": torch.eye(C, dtype=torch.float64)[torch.arange(N) % C],
    "multi-label": (torch.rand(N, C, generator=seeded()) < 0.3).double(),
    "no dissimilar pair": torch.eye(C, dtype=torch.float64)[torch.zeros(N).long()],
    "no similar pair": torch.zeros(N, C, dtype=torch.float64),
}


@every_engine
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("case", LABELS)
@pytest.mark.parametrize("name", PLAIN)
def test_loss_and_gradient_are_those_of_the_plain_formula(
    name: str, case: str, scale: float, dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two epochs, with what a method solves or updates between them."""
    monkeypatch.setattr(pairs, "_SMALL", small)
    plain, hyperparameters = PLAIN[name]
    sizes = {"code_length": K, "num_classes": C, "num_train": N}
    method: Method = create(name.split(",")[0], **sizes, **hyperparameters).to(dtype)
    every_label, bank = LABELS[case], (scale * outputs(N, K)).to(dtype)
    method.prime(bank, every_label.to(dtype))
    for epoch in range(2):
        method.start_epoch(epoch)
        u, indices = (scale * outputs(B, K, 1 + epoch)).to(dtype), torch.arange(epoch, N, 4)[:B]
        bank[indices] = u
        labels = every_label[indices]
        value, gradient = with_gradient(method.similarity_loss, u, labels.to(dtype), indices)
        expected, slope = with_gradient(plain, u.double(), method, labels, (bank.double(), every_label))
        assert value.dtype == gradient.dtype == dtype
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        assert slope.any() and close(gradient, slope)
        method.end_epoch(epoch)
