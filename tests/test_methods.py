"""Every method against the contract of ``pipeline.methods.Method``, and its formulas as plain loops."""

import inspect
import itertools
import math
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from pipeline import methods
from pipeline.codes import sign
from pipeline.methods import Method, csq
from pipeline.methods.csq import CSQ, hash_centers
from pipeline.methods.dsdh import DSDH
from pipeline.retrieval import evaluate
from pipeline.runtime.errors import UserError
from pipeline.training.optimization import OPTIMIZERS

Array = npt.NDArray[np.float64]

BITS = 16
CLASSES = 4

#: Batches a loss must survive. Each is also the whole training set, the hardest case for a bank.
BATCHES = {
    "single-label": np.eye(CLASSES)[[0, 1, 2, 3, 0, 1]],
    "multi-label": np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]]),
    "one image": np.eye(CLASSES)[[2]],
    "one class": np.eye(CLASSES)[[1, 1, 1, 1]],
    "no similar pair": np.eye(CLASSES),
}

every_method = pytest.mark.parametrize("name", methods.names())
every_batch = pytest.mark.parametrize("case", BATCHES)


def outputs(n: int, bits: int = BITS, seed: int = 0) -> Tensor:
    return torch.randn(n, bits, generator=torch.Generator().manual_seed(seed))


def started(name: str, labels: Tensor, u: Tensor) -> Method:
    """A method in its first epoch, as the training loop would have it."""
    torch.manual_seed(0)  # a method's own parameters are drawn from the global generator
    method = methods.create(name, code_length=u.shape[1], num_classes=labels.shape[1], num_train=len(labels))
    method.prime(u.detach().float(), labels)
    method.start_epoch(0)
    return method


def batch_of(case: str) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.tensor(BATCHES[case], dtype=torch.float32)
    return outputs(len(labels)), labels, torch.arange(len(labels))


def one_line(message: str, *parts: str) -> None:
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message


# The contract.


def test_every_method_has_a_test_of_its_own() -> None:
    text = "\n".join(file.read_text() for file in Path(__file__).parent.glob("test_methods*.py"))
    untested = [name for name in methods.names() if not re.search(rf"^def test_{name}_", text, re.MULTILINE)]
    assert not untested


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@every_batch
@every_method
def test_losses_are_finite_numbers_with_a_gradient(name: str, case: str, dtype: torch.dtype) -> None:
    u, labels, indices = batch_of(case)
    method = started(name, labels, u)
    u = u.to(dtype).requires_grad_()
    similarity = method.similarity_loss(u, labels, indices)
    assert similarity.shape == ()
    assert math.isfinite(similarity.item())
    (gradient,) = torch.autograd.grad(similarity, u)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    # A method that compares the images of a batch with each other has nothing to ask of a single one.
    assert gradient.any() or len(u) == 1

    own = method.quantization_loss(u, labels, indices)
    assert own.shape == ()
    assert math.isfinite(own.item())
    if own.requires_grad:
        (gradient,) = torch.autograd.grad(own, u)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


@every_method
def test_large_outputs_neither_overflow_nor_give_nan(name: str) -> None:
    u, labels, indices = batch_of("single-label")
    method = started(name, labels, u)
    u = (100 * u).requires_grad_()
    total = method.similarity_loss(u, labels, indices) + method.quantization_loss(u, labels, indices)
    (gradient,) = torch.autograd.grad(total, u)
    assert math.isfinite(total.item())
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@every_method
def test_relaxed_codes_are_in_the_cube(name: str, dtype: torch.dtype) -> None:
    u, labels, _ = batch_of("single-label")
    method = started(name, labels, u)
    relaxed = method.relax(10 * u.to(dtype))
    assert relaxed.shape == u.shape
    assert relaxed.abs().max() <= 1
    assert bool(((relaxed > 0) == (u > 0))[u.abs() > 0.1].all())


@every_method
def test_hooks_can_be_called_epoch_after_epoch(name: str) -> None:
    u, labels, indices = batch_of("single-label")
    method = started(name, labels, u)
    for epoch in range(3):
        method.start_epoch(epoch)
        loss = method.similarity_loss(u.requires_grad_(), labels, indices)
        method.end_epoch(epoch)
        assert math.isfinite(loss.item())


@every_method
def test_banks_keep_no_graph(name: str) -> None:
    """A bank that held on to a batch's graph would grow with every step."""
    u, labels, indices = batch_of("single-label")
    method = started(name, labels, u)
    method.similarity_loss(u.requires_grad_(), labels, indices)
    method.end_epoch(0)
    assert not any(buffer.requires_grad for buffer in method.buffers())


@every_method
def test_part_of_the_training_set_is_a_batch(name: str) -> None:
    u, labels, _ = batch_of("multi-label")
    method = started(name, labels, u)
    indices = torch.tensor([5, 0, 3])
    part = u[indices].requires_grad_()
    total = method.similarity_loss(part, labels[indices], indices)
    total = total + method.quantization_loss(part, labels[indices], indices)
    assert math.isfinite(total.item())


SIZES = {"code_length": BITS, "num_classes": CLASSES, "num_train": 6}


def hyperparameters(name: str) -> dict[str, Any]:
    """A method's own hyperparameters with their annotations."""
    found = inspect.signature(type(methods.create(name, **SIZES))).parameters
    return {key: p.annotation for key, p in found.items() if p.kind is p.KEYWORD_ONLY and key not in SIZES}


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UserError) as error:
        methods.create("dsdhh", **SIZES)
    one_line(str(error.value), "'dsdhh'", "did you mean 'dsdh'?", *methods.names())


@every_method
def test_an_unknown_hyperparameter_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        methods.create(name, **SIZES, zebra=1.0)
    one_line(str(error.value), repr(name), "'zebra'", *hyperparameters(name))


@every_method
def test_hyperparameters_out_of_range_are_refused(name: str) -> None:
    for key, annotation in hyperparameters(name).items():
        wrong: list[Any] = ["nonsense", None] + ([-1, math.nan] if hasattr(annotation, "__metadata__") else [])
        for value in wrong:
            with pytest.raises(UserError) as error:
                methods.create(name, **SIZES, **{key: value})
            one_line(str(error.value), repr(name), key, repr(value))


@every_method
def test_free_outputs_are_separated_by_class(name: str) -> None:
    """The similarity loss alone, without a network between it and the outputs, must solve retrieval."""
    n, classes, bits, size = 200, 10, 32, 50
    labels = torch.eye(classes)[torch.arange(n) % classes]
    u = torch.nn.Parameter(0.1 * outputs(n, bits))
    method = started(name, labels, u)
    optimizer = OPTIMIZERS["adam"]([u, *method.parameters()], lr=0.1)
    order = torch.Generator().manual_seed(0)
    for epoch in range(20):
        method.start_epoch(epoch)
        for indices in torch.randperm(n, generator=order).view(-1, size):
            loss = method.similarity_loss(u[indices], labels[indices], indices)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        method.end_epoch(epoch)
    codes, hot = sign(u.detach().numpy()), labels.numpy()
    assert evaluate(codes, hot, codes, hot).mean_average_precision > 0.99


# DSDH.


def made_dsdh(n: int, classes: int, bits: int, seed: int = 0, **hyperparameters: Any) -> tuple[DSDH, Tensor, Tensor]:
    """A primed DSDH in float64 with its training set's outputs and multi-labels."""
    method = methods.create("dsdh", code_length=bits, num_classes=classes, num_train=n, **hyperparameters)
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, bits, generator=generator, dtype=torch.float64)
    labels = (torch.rand(n, classes, generator=generator) < 0.4).double()
    labels[torch.arange(n), torch.arange(n) % classes] = 1
    method.double().prime(u, labels)
    return cast(DSDH, method), u, labels


def test_dsdh_losses_equal_plain_loops() -> None:
    n, classes, bits, mu, eta = 9, 3, 6, 0.3, 0.7
    method, bank, all_labels = made_dsdh(n, classes, bits, mu=mu, eta=eta)
    indices = torch.tensor([4, 0, 7])
    u = torch.randn(3, bits, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = all_labels[indices]
    similarity = method.similarity_loss(u, labels, indices).item()
    own = method.quantization_loss(u, labels, indices).item()

    bank[indices] = u  # a batch sees its own outputs in the bank
    w, b = method.classifier, method.codes
    likelihood = classification = quantization = 0.0
    for i in range(3):
        for j in range(n):
            psi = sum(float(u[i, k] * bank[j, k]) for k in range(bits)) / 2
            s = float(any(labels[i, c] * all_labels[j, c] for c in range(classes)))
            likelihood -= s * psi - math.log(1 + math.exp(psi))
        for c in range(classes):
            prediction = sum(float(w[k, c] * u[i, k]) for k in range(bits))
            classification += (float(labels[i, c]) - prediction) ** 2
        for k in range(bits):
            quantization += float(b[indices[i], k] - u[i, k]) ** 2
    assert similarity == pytest.approx(likelihood / (3 * n) + mu * classification / 3, rel=1e-6)
    assert own == pytest.approx(eta * quantization / 3, rel=1e-6)


def test_dsdh_prime_fills_the_bank() -> None:
    method, u, labels = made_dsdh(9, 3, 6)
    assert torch.equal(method.bank, u)
    assert torch.equal(method.bank_labels, labels)
    assert bool((method.codes.abs() == 1).all())


def test_dsdh_bank_takes_the_latest_outputs_of_a_batch_only() -> None:
    method, before, labels = made_dsdh(9, 3, 6)
    indices = torch.tensor([1, 8])
    u = torch.ones(2, 6, dtype=torch.float64)
    method.similarity_loss(u, labels[indices], indices)
    others = torch.tensor([0, 2, 3, 4, 5, 6, 7])
    assert torch.equal(method.bank[indices], u)
    assert torch.equal(method.bank[others], before[others])


def test_dsdh_classifier_is_the_closed_form() -> None:
    mu, nu = 0.3, 0.2
    method, u, labels = made_dsdh(30, 4, 8, mu=mu, nu=nu)
    b, y = np.where(u.numpy() >= 0, 1.0, -1.0).T, labels.numpy().T
    closed = np.linalg.inv(b @ b.T + nu / mu * np.eye(8)) @ b @ y.T
    np.testing.assert_allclose(method.classifier.numpy(), closed, rtol=1e-9, atol=1e-12)


def dsdh_cost(method: DSDH, codes: Array) -> Array:
    """What the sweeps minimise, for each image: mu |y - W^T b|^2 + eta |b - u|^2."""
    y, w, u = method.bank_labels.numpy(), method.classifier.numpy(), method.bank.numpy()
    return np.asarray(method.mu * ((y - codes @ w) ** 2).sum(axis=1) + method.eta * ((codes - u) ** 2).sum(axis=1))


@pytest.mark.parametrize("eta", [0.01, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_dsdh_sweeps_never_raise_the_objective(seed: int, eta: float) -> None:
    method, _, _ = made_dsdh(40, 5, 12, seed=seed, mu=1.0, eta=eta, sweeps=1)
    generator = torch.Generator().manual_seed(seed)
    method.codes.copy_(2.0 * torch.randint(0, 2, (40, 12), generator=generator) - 1)
    for epoch in range(6):
        before = method.codes.numpy().copy()
        method.end_epoch(epoch)
        costs, earlier = dsdh_cost(method, method.codes.numpy()), dsdh_cost(method, before)
        assert (costs <= earlier + 1e-9).all()  # bits of one image don't touch the cost of another
        assert set(np.unique(method.codes.numpy())) <= {-1.0, 1.0}


@pytest.mark.parametrize("seed", range(5))
def test_dsdh_sweeps_end_between_the_best_code_and_the_start(seed: int) -> None:
    """Every one of the 2^K codes is tried; the sweeps end where no single bit helps, at or above the best."""
    bits = 5
    method, _, _ = made_dsdh(12, 3, bits, seed=seed, mu=1.0, eta=0.1, sweeps=10)
    all_codes = np.array(list(itertools.product([-1.0, 1.0], repeat=bits)))
    best = np.min([dsdh_cost(method, np.tile(code, (12, 1))) for code in all_codes], axis=0)
    codes = method.codes.numpy()
    found = dsdh_cost(method, codes)
    assert (found >= best - 1e-9).all()
    for bit in range(bits):
        flipped = codes.copy()
        flipped[:, bit] *= -1
        assert (found <= dsdh_cost(method, flipped) + 1e-9).all()


def test_dsdh_codes_are_outputs_signs_where_the_own_term_rules() -> None:
    method, u, _ = made_dsdh(20, 3, 6, mu=1e-9, eta=1.0)
    assert torch.equal(method.codes, torch.where(u >= 0, 1.0, -1.0).double())


# CSQ.


def made_csq(classes: int, bits: int, **hyperparameters: Any) -> CSQ:
    method = methods.create("csq", code_length=bits, num_classes=classes, num_train=8, **hyperparameters)
    return cast(CSQ, method.double())


def test_csq_losses_equal_plain_loops() -> None:
    bits, classes, weight = 8, 5, 0.3
    method = made_csq(classes, bits, quantization=weight)
    labels = torch.zeros(6, classes, dtype=torch.float64)
    chosen = [[0], [3], [0, 1], [1, 2, 4], [0, 1, 2, 3], [0, 1, 2, 3, 4]]  # two and four can tie
    for row, names in enumerate(chosen):
        labels[row, names] = 1
    u = outputs(6, bits).double()
    tied = 0
    central = quantization = 0.0
    for i, names in enumerate(chosen):
        for k in range(bits):
            votes = sum(float(method.centers[c, k]) for c in names)
            tied += votes == 0
            target = float(method.tie_breaks[k]) if votes == 0 else math.copysign(1, votes)
            c, h = (target + 1) / 2, 1 / (1 + math.exp(-2 * float(u[i, k])))
            central -= c * math.log(h) + (1 - c) * math.log(1 - h)
            quantization += math.log(math.cosh(abs(2 * h - 1) - 1))
    assert tied > 0
    indices = torch.arange(6)
    similarity, own = (f(u, labels, indices) for f in (method.similarity_loss, method.quantization_loss))
    assert similarity.item() == pytest.approx(central / (6 * bits), rel=1e-6)
    assert own.item() == pytest.approx(weight * quantization / (6 * bits), rel=1e-6)


def test_csq_single_labels_aim_at_their_center() -> None:
    method = made_csq(7, 16)
    assert torch.equal(method.targets(torch.eye(7, dtype=torch.float64)), method.centers)


def test_csq_ties_are_broken_alike_for_all_images_and_seeds_of_training() -> None:
    labels = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.float64)
    torch.manual_seed(1)
    first = made_csq(4, 16).targets(labels)
    torch.manual_seed(2)
    assert torch.equal(first, made_csq(4, 16).targets(labels))
    assert bool((first.abs() == 1).all())


def distances(centers: csq.Centers) -> npt.NDArray[np.int64]:
    """Hamming distances of all pairs."""
    wide = centers.astype(np.int64)
    return np.asarray((centers.shape[1] - wide @ wide.T) // 2)[np.triu_indices(len(centers), 1)]


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("share", [0.5, 1.0, 1.5, 2.0])
def test_csq_hadamard_centers_are_half_or_all_bits_apart(bits: int, share: float) -> None:
    count = int(share * bits)
    centers = hash_centers(count, bits, seed=0)
    assert centers.shape == (count, bits)
    assert set(np.unique(centers)) == {-1, 1}
    found = distances(centers)
    assert found.min() == bits // 2
    # The second half is the first one's negative: those pairs, and no other, differ in every bit.
    assert int((found == bits).sum()) == max(0, count - bits)
    assert set(found.tolist()) <= {bits // 2, bits}


@pytest.mark.parametrize(
    ("classes", "bits", "smallest"),
    [(10, 48, 22), (10, 12, 6), (81, 48, 18), (81, 32, 12)],  # smallest distances as measured with seed 0
)
def test_csq_sampled_centers_are_far_apart(classes: int, bits: int, smallest: int) -> None:
    centers = hash_centers(classes, bits, seed=0)
    found = distances(centers)
    assert centers.shape == (classes, bits)
    assert len(np.unique(centers, axis=0)) == classes
    assert found.min() >= smallest
    assert (centers.sum(axis=1, dtype=np.int64) == 0).all()


def test_csq_center_seed_chooses_the_sampled_centers() -> None:
    assert not np.array_equal(hash_centers(10, 24, seed=0), hash_centers(10, 24, seed=1))
    first, again, other = (made_csq(10, 24, center_seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.centers, again.centers)
    assert torch.equal(first.tie_breaks, again.tie_breaks)
    assert not torch.equal(first.centers, other.centers)


@pytest.mark.parametrize(("classes", "bits"), [(10, 2), (3, 1), (10, 3)])
def test_csq_codes_too_short_for_the_classes_are_refused(classes: int, bits: int) -> None:
    with pytest.raises(UserError) as error:
        methods.create("csq", code_length=bits, num_classes=classes, num_train=8)
    one_line(str(error.value), "csq", f"{classes} distinct centers", f"{bits} bits")


def test_csq_odd_code_lengths_have_centers() -> None:
    found = hash_centers(5, 13, seed=0)
    assert found.shape == (5, 13)
    assert distances(found).min() >= 6


def test_csq_own_term_vanishes_at_binary_codes_and_falls_towards_them() -> None:
    method = made_csq(4, 8, quantization=1.0)
    labels, indices = torch.eye(4, dtype=torch.float64), torch.arange(4)

    def measured(size: float) -> float:
        u = torch.full((4, 8), size, dtype=torch.float64)
        return method.quantization_loss(u, labels, indices).item()

    values = [measured(size) for size in (0.0, 0.5, 1.0, 2.0, 20.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(math.log(math.cosh(1)))
    assert values[-1] == pytest.approx(0, abs=1e-12)
