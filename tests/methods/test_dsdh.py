"""DSDH: its equation as loops, the bank, and the two discrete steps between epochs."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from pipeline.methods.dsdh import DSDH
from tests.losses import made, seeded

Array = npt.NDArray[np.float64]


def bank(method: DSDH) -> tuple[Tensor, Tensor]:
    """The latest outputs and the labels of the whole training set."""
    return method.bank.outputs, method.bank.labels


def test_losses_equal_plain_loops() -> None:
    n, classes, bits, mu, eta = 9, 3, 6, 0.3, 0.7
    method, all_u, all_labels, u, labels, indices = made(DSDH, n=n, classes=classes, bits=bits, batch=3, mu=mu, eta=eta)
    similarity = method.similarity_loss(u, labels, indices).item()
    own = method.quantization_loss(u, labels, indices).item()

    all_u[indices] = u  # a batch sees its own outputs in the bank
    w, b = method.classifier, method.codes
    likelihood = classification = quantization = 0.0
    for i in range(3):
        for j in range(n):
            psi = sum(float(u[i, k] * all_u[j, k]) for k in range(bits)) / 2
            s = float(any(labels[i, c] * all_labels[j, c] for c in range(classes)))
            likelihood -= s * psi - math.log(1 + math.exp(psi))
        for c in range(classes):
            prediction = sum(float(w[k, c] * u[i, k]) for k in range(bits))
            classification += (float(labels[i, c]) - prediction) ** 2
        for k in range(bits):
            quantization += float(b[indices[i], k] - u[i, k]) ** 2
    assert similarity == pytest.approx(likelihood / (3 * n) + mu * classification / 3, rel=1e-6)
    assert own == pytest.approx(eta * quantization / 3, rel=1e-6)


def test_prime_fills_the_bank() -> None:
    method, u, labels, *_ = made(DSDH)
    assert all(map(torch.equal, bank(method), (u, labels)))
    assert bool((method.codes.abs() == 1).all())


def test_bank_takes_the_latest_outputs_of_a_batch_only() -> None:
    method, before, _, u, labels, indices = made(DSDH)
    method.similarity_loss(u, labels, indices)
    after = bank(method)[0]
    others = sorted(set(range(len(before))) - set(indices.tolist()))
    assert torch.equal(after[indices], u)
    assert torch.equal(after[others], before[others])


def test_classifier_is_the_closed_form() -> None:
    mu, nu = 0.3, 0.2
    method, u, labels, *_ = made(DSDH, n=30, bits=8, mu=mu, nu=nu)
    b, y = np.where(u.numpy() >= 0, 1.0, -1.0).T, labels.numpy().T
    closed = np.linalg.inv(b @ b.T + nu / mu * np.eye(8)) @ b @ y.T
    np.testing.assert_allclose(method.classifier.numpy(), closed, rtol=1e-9, atol=1e-12)


def cost(method: DSDH, codes: Array) -> Array:
    """What the sweeps minimise, for each image: mu |y - W^T b|^2 + eta |b - u|^2."""
    u, y = (x.numpy() for x in bank(method))
    w = method.classifier.numpy()
    return np.asarray(method.mu * ((y - codes @ w) ** 2).sum(axis=1) + method.eta * ((codes - u) ** 2).sum(axis=1))


@pytest.mark.parametrize("eta", [0.01, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_sweeps_never_raise_the_objective(seed: int, eta: float) -> None:
    method = made(DSDH, n=40, classes=5, bits=12, seed=seed, mu=1.0, eta=eta, sweeps=1).method
    method.codes.copy_(2.0 * torch.randint(0, 2, (40, 12), generator=seeded(seed)) - 1)
    for epoch in range(6):
        before = method.codes.numpy().copy()
        method.end_epoch(epoch)
        costs, earlier = cost(method, method.codes.numpy()), cost(method, before)
        assert (costs <= earlier + 1e-9).all()  # bits of one image don't touch the cost of another
        assert set(np.unique(method.codes.numpy())) <= {-1.0, 1.0}


@pytest.mark.parametrize("seed", range(5))
def test_sweeps_end_between_the_best_code_and_the_start(seed: int) -> None:
    """Every one of the 2^K codes is tried; the sweeps end where no single bit helps, at or above the best."""
    bits = 5
    method = made(DSDH, n=12, classes=3, bits=bits, seed=seed, mu=1.0, eta=0.1, sweeps=10).method
    all_codes = np.array(list(itertools.product([-1.0, 1.0], repeat=bits)))
    best = np.min([cost(method, np.tile(code, (12, 1))) for code in all_codes], axis=0)
    codes = method.codes.numpy()
    found = cost(method, codes)
    assert (found >= best - 1e-9).all()
    for bit in range(bits):
        flipped = codes.copy()
        flipped[:, bit] *= -1
        assert (found <= cost(method, flipped) + 1e-9).all()


def test_codes_are_outputs_signs_where_the_own_term_rules() -> None:
    method, u, *_ = made(DSDH, n=20, classes=3, mu=1e-9, eta=1.0)
    assert torch.equal(method.codes, torch.where(u >= 0, 1.0, -1.0).double())
