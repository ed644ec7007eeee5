"""none, ot and cb: against their equations written as loops, and by their properties."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline import methods, quantizers
from pipeline.quantizers import Quantizer
from pipeline.runtime.errors import UserError
from pipeline.training.objective import losses

NAMES = ["none", "ot", "cb"]


def drawn(b: int, k: int, seed: int = 0) -> Tensor:
    return torch.randn(b, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(b: int, k: int, seed: int = 0) -> Tensor:
    return torch.where(drawn(b, k, seed) >= 0, 1.0, -1.0).double()


def hadamard(size: int) -> Tensor:
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def of(quantizer: Quantizer, u: Tensor, **given: Any) -> float:
    return float(quantizer(u, **given))


# how they compose with a method


def test_none_leaves_the_similarity_alone() -> None:
    quantizer = quantizers.create("none")
    assert (quantizer.keeps_own_term, quantizer.weight) == (False, 0)
    method = methods.create("csq", code_length=8, num_classes=4, num_train=4)
    batch = (drawn(4, 8).float(), torch.eye(4), torch.arange(4))
    parts = losses(method, quantizer, "none", batch, torch.Generator())
    assert set(parts) == {"loss", "similarity"} and parts["loss"] is parts["similarity"]
    assert of(quantizer, drawn(3, 4)) == 0


@pytest.mark.parametrize(("name", "own", "reads"), [("ot", False, "raw"), ("cb", True, "relaxed")])
def test_ot_and_cb_compose_as_designed(name: str, own: bool, reads: str) -> None:
    quantizer = quantizers.create(name, weight=0.5)
    assert (quantizer.keeps_own_term, quantizer.weight, quantizer.reads) == (own, 0.5, reads)
    method = methods.create("csq", code_length=8, num_classes=4, num_train=4, quantization=2.0)
    batch = (drawn(4, 8).float(), torch.eye(4), torch.arange(4))
    parts = losses(method, quantizer, name, batch, torch.Generator().manual_seed(3))
    u = batch[0] if reads == "raw" else torch.tanh(batch[0])
    expected = of(quantizer, u, generator=torch.Generator().manual_seed(3))
    assert float(parts[name]) == expected
    total = parts["similarity"] + 0.5 * parts[name] + (parts["own_quantization"] if own else 0)
    assert float(parts["loss"]) == pytest.approx(float(total))
    assert ("own_quantization" in parts) == own


# ot


def test_ot_is_the_cheapest_of_all_pairings() -> None:
    u, targets = drawn(5, 3), signs(5, 3, seed=1)
    costs = [
        sum((float(u[i, k]) - float(targets[j, k])) ** 2 for i, j in enumerate(order) for k in range(3)) / 15
        for order in itertools.permutations(range(5))
    ]
    assert of(quantizers.create("ot"), u, targets=targets) == pytest.approx(min(costs), abs=1e-6)


def test_ot_is_zero_on_equal_sets_and_never_negative() -> None:
    quantizer, targets = quantizers.create("ot"), signs(16, 8)
    assert of(quantizer, targets.roll(5, dims=0), targets=targets) == 0
    for seed in range(5):
        assert of(quantizer, drawn(16, 8, seed), generator=torch.Generator().manual_seed(seed)) >= 0


def test_ot_pulls_every_output_to_its_target() -> None:
    u, targets = drawn(4, 6).requires_grad_(), signs(4, 6, seed=1)
    quantizers.create("ot")(u, targets=targets).backward()
    assert u.grad is not None
    reached = u.detach() - u.grad * u.numel() / 2
    assert sorted(reached.round().tolist()) == sorted(targets.tolist())


def test_ot_is_seeded_and_asks_for_a_source() -> None:
    quantizer, u = quantizers.create("ot"), drawn(8, 4)
    state = torch.get_rng_state()
    values = [of(quantizer, u, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(UserError, match=r"give targets, or a torch.Generator"):
        quantizer(u)
    with pytest.raises(UserError, match=r"targets must be \(8, 4\) like u"):
        quantizer(u, targets=signs(8, 3))


# cb


def test_cb_is_its_equation() -> None:
    h = torch.tanh(drawn(7, 3))
    rows = h.tolist()
    balance = sum((sum(row[k] for row in rows) / 7) ** 2 for k in range(3)) / 3
    correlation = 0.0
    for k in range(3):
        for other in range(3):
            product = sum(row[k] * row[other] for row in rows) / 7
            correlation += (product - (k == other)) ** 2 / 9
    assert of(quantizers.create("cb"), h) == pytest.approx(balance + correlation, abs=1e-6)


def test_cb_is_zero_for_a_hadamard_matrix_and_its_negative() -> None:
    matrix = hadamard(8)
    quantizer = quantizers.create("cb")
    assert of(quantizer, torch.cat([matrix, -matrix])) == 0
    assert of(quantizer, matrix) == pytest.approx(1 / 8)  # its first column is all +1
    assert of(quantizer, torch.ones(16, 8)) == pytest.approx(1 + 7 / 8)  # all bits equal, all off-diagonals 1


def test_cb_draws_nothing() -> None:
    quantizer, h = quantizers.create("cb"), torch.tanh(drawn(6, 4))
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert of(quantizer, h, targets=signs(6, 4), generator=generator) == of(quantizer, h)
    assert torch.equal(state, generator.get_state())


# all three


@pytest.mark.parametrize("b", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_every_quantizer_is_finite(name: str, dtype: torch.dtype, b: int) -> None:
    u = drawn(b, 4).to(dtype).requires_grad_()
    loss = quantizers.create(name)(u, generator=torch.Generator().manual_seed(0))
    assert loss.ndim == 0 and bool(torch.isfinite(loss))
    if name != "none":
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        loss.backward()
        assert u.grad is not None and bool(torch.isfinite(u.grad).all()) and bool(u.grad.any())


@pytest.mark.parametrize("name", ["ot", "cb"])
def test_outputs_must_have_two_dimensions(name: str) -> None:
    with pytest.raises(UserError, match=r"u must be \(b, K\), found shape \(4,\)"):
        quantizers.create(name)(torch.zeros(4), generator=torch.Generator())
