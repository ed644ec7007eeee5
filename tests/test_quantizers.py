"""Every quantizer against its contract, against plain loops and SciPy, and how its term joins a method's."""

import inspect
import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pipeline import quantizers
from pipeline.assignment import optimal_pairing
from pipeline.methods import Method
from pipeline.quantizers import Quantizer
from pipeline.runtime.errors import UserError
from pipeline.training.objective import losses
from pipeline.training.optimization import OPTIMIZERS

BITS = 8

every_quantizer = pytest.mark.parametrize("name", quantizers.names())
drawing = pytest.mark.parametrize("name", ["wr", "swd", "hswd"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def outputs(n: int = 16, bits: int = BITS, seed: int = 0) -> Tensor:
    return torch.randn(n, bits, generator=seeded(seed), dtype=torch.float64)


def signs(n: int = 16, bits: int = BITS, seed: int = 1) -> Tensor:
    return 2.0 * torch.randint(0, 2, (n, bits), generator=seeded(seed)).double() - 1


def one_line(message: str, *parts: str) -> None:
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message


# The contract.


def test_every_quantizer_has_a_test_of_its_own() -> None:
    text = "\n".join(file.read_text() for file in Path(__file__).parent.glob("test_quantizers*.py"))
    untested = [name for name in quantizers.names() if not re.search(rf"^def test_{name}_", text, re.MULTILINE)]
    assert not untested


@pytest.mark.parametrize("n", [1, 2, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@every_quantizer
def test_term_is_a_finite_number_with_a_gradient(name: str, dtype: torch.dtype, n: int) -> None:
    quantizer = quantizers.create(name)
    u = outputs(n).to(dtype).requires_grad_()
    value = quantizer(u, generator=seeded())
    assert value.shape == ()
    assert math.isfinite(value.item())
    assert value.requires_grad == (quantizer.weight > 0)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, u)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


@every_quantizer
def test_term_is_finite_where_all_outputs_are_equal(name: str) -> None:
    """A network that has collapsed, the case that a quantizer is there to mend."""
    for u in (torch.zeros(6, BITS), torch.ones(6, BITS)):
        u.requires_grad_()
        value = quantizers.create(name)(u, generator=seeded())
        assert math.isfinite(value.item())
        if value.requires_grad:
            assert torch.autograd.grad(value, u)[0].isfinite().all()


@every_quantizer
def test_randomness_comes_from_the_generator_alone(name: str) -> None:
    quantizer, u = quantizers.create(name), outputs()
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    first = quantizer(u, generator=seeded(3))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])  # type: ignore[index]
    torch.manual_seed(99)
    assert torch.equal(first, quantizer(u, generator=seeded(3)))


@drawing
def test_another_seed_draws_other_targets(name: str) -> None:
    quantizer, u = quantizers.create(name), outputs()
    assert not torch.equal(quantizer(u, generator=seeded(3)), quantizer(u, generator=seeded(4)))


@drawing
def test_drawn_targets_are_those_of_the_generator(name: str) -> None:
    u = outputs()
    drawn = quantizers.uniform_targets(u, None, seeded())
    assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
    generator = seeded()
    quantizers.uniform_targets(u, None, generator)
    value = quantizers.create(name)(u, targets=drawn, generator=generator)
    assert torch.equal(value, quantizers.create(name)(u, generator=seeded()))


def test_uniform_targets_are_balanced() -> None:
    drawn = quantizers.uniform_targets(torch.zeros(4000, 16), None, seeded())
    assert drawn.mean(dim=0).abs().max() < 0.06
    assert (drawn.T @ drawn / 4000 - torch.eye(16)).abs().max() < 0.07


@every_quantizer
def test_wrong_shapes_are_refused(name: str) -> None:
    quantizer = quantizers.create(name)
    if not quantizer.weight:
        return  # adds nothing, looks at nothing
    for shape in ((BITS,), (2, 3, BITS), ()):
        with pytest.raises(UserError) as error:
            quantizer(torch.zeros(shape), generator=seeded())
        one_line(str(error.value), "(b, K)", str(shape))


@drawing
def test_targets_of_another_shape_are_refused(name: str) -> None:
    quantizer = quantizers.create(name)
    for shape in ((4, BITS + 1), (5, BITS), (BITS,), (1, BITS)):
        with pytest.raises(UserError) as error:
            quantizer(torch.zeros(4, BITS), targets=torch.ones(shape))
        one_line(str(error.value), str((4, BITS)), str(shape))


@drawing
def test_neither_targets_nor_generator_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        quantizers.create(name)(torch.zeros(4, BITS))
    one_line(str(error.value), "targets", "Generator")


def hyperparameters(name: str) -> dict[str, Any]:
    found = inspect.signature(type(quantizers.create(name))).parameters
    return {key: p.annotation for key, p in found.items() if p.kind is p.KEYWORD_ONLY}


def test_an_unknown_quantizer_is_refused() -> None:
    with pytest.raises(UserError) as error:
        quantizers.create("hswdd")
    one_line(str(error.value), "'hswdd'", "did you mean 'hswd'?", *quantizers.names())


@every_quantizer
def test_an_unknown_hyperparameter_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        quantizers.create(name, wieght=0.1)
    one_line(str(error.value), repr(name), "'wieght'", *hyperparameters(name))


@every_quantizer
def test_hyperparameters_out_of_range_are_refused(name: str) -> None:
    for key, annotation in hyperparameters(name).items():
        wrong: list[Any] = ["nonsense", None] + ([-1, math.nan] if hasattr(annotation, "__metadata__") else [])
        for value in wrong:
            with pytest.raises(UserError) as error:
                quantizers.create(name, **{key: value})
            one_line(str(error.value), repr(name), key, repr(value))


# The pairing.


def gain(u: Tensor, targets: Tensor, order: Any) -> float:
    return float((u * targets[order]).sum())


@pytest.mark.parametrize("n", [1, 2, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_pairing_is_the_best_of_all_permutations(n: int, seed: int) -> None:
    u, targets = outputs(n, 5, seed), signs(n, 5, seed + 1)
    found = optimal_pairing(u, targets)
    best = max(gain(u, targets, list(order)) for order in itertools.permutations(range(n)))
    assert gain(u, targets, found) == pytest.approx(best, abs=1e-5)
    distance = float((u - targets[found]).square().sum())
    least = min(float((u - targets[list(order)]).square().sum()) for order in itertools.permutations(range(n)))
    assert distance == pytest.approx(least, abs=1e-5)


def test_pairing_is_scipys_optimum_of_squared_distances() -> None:
    u, targets = outputs(64, 32).tanh(), signs(64, 32)
    cost = torch.cdist(u, targets).square().numpy()
    rows, columns = linear_sum_assignment(cost)
    found = optimal_pairing(u, targets).numpy()
    assert cost[rows, found].sum() == pytest.approx(cost[rows, columns].sum(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_pairing_is_a_permutation_without_a_gradient(dtype: torch.dtype) -> None:
    u = outputs(20).to(dtype).requires_grad_()
    found = optimal_pairing(u, signs(20).to(dtype))
    assert found.dtype == torch.int64
    assert not found.requires_grad
    assert sorted(found.tolist()) == list(range(20))


def test_pairing_undoes_a_shuffle() -> None:
    targets = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)))
    shuffle = torch.randperm(16, generator=seeded())
    assert torch.equal(targets[optimal_pairing(0.5 * targets[shuffle], targets)], targets[shuffle])


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((4, 3), (5, 3)), ((4,), (4,)), ((2, 4, 3), (2, 4, 3))])
def test_pairing_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(shapes[1]))):
        optimal_pairing(torch.zeros(shapes[0]), torch.ones(shapes[1]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pairing_refuses_what_is_not_finite(value: float) -> None:
    u = outputs(4)
    u[2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        optimal_pairing(u, signs(4))


# original.


def test_original_adds_nothing() -> None:
    quantizer = quantizers.create("original")
    assert quantizer.keeps_own_term
    assert quantizer.weight == 0
    assert quantizer(outputs(), generator=seeded()).item() == 0


# wr.


def test_wr_equals_plain_loops_given_targets() -> None:
    n, bits = 6, 5
    u, targets = outputs(n, bits).tanh(), signs(n, bits)
    best = -math.inf
    for order in itertools.permutations(range(n)):
        total = sum(float(u[i, k] * targets[order[i], k]) for i in range(n) for k in range(bits))
        best = max(best, total)
    value = quantizers.create("wr")(u, targets=targets)
    assert value.item() == pytest.approx(-best / (n * bits), rel=1e-6)


def test_wr_is_least_where_the_codes_are_the_targets() -> None:
    targets = signs(20)
    shuffled = targets[torch.randperm(20, generator=seeded())]
    assert quantizers.create("wr")(shuffled, targets=targets).item() == -1
    assert quantizers.create("wr")(outputs(20).tanh(), targets=targets).item() > -1


def test_wr_step_moves_every_code_towards_its_target() -> None:
    u, targets = outputs(40).tanh().requires_grad_(), signs(40)
    paired = targets[optimal_pairing(u, targets)]
    (gradient,) = torch.autograd.grad(quantizers.create("wr")(u, targets=targets), u)
    moved = u - 0.1 * gradient
    assert ((moved * paired).sum(dim=1) > (u * paired).sum(dim=1)).all()
    np.testing.assert_allclose(gradient.numpy(), -paired.numpy() / u.numel())


def balance(codes: Tensor) -> tuple[float, float]:
    """The largest |bit mean| and the largest |correlation| of two bits."""
    correlations = torch.corrcoef(codes.T).fill_diagonal_(0)
    return float(codes.mean(dim=0).abs().max()), float(correlations.abs().max())


def test_wr_alone_balances_and_decorrelates_bits() -> None:
    """The start has all bits mostly on and alike; fresh targets in each step pull them apart."""
    common = 0.5 + torch.randn(512, 1, generator=seeded(1))
    codes = torch.nn.Parameter((common + 0.5 * torch.randn(512, 16, generator=seeded())).tanh())
    mean, correlation = balance(codes.detach())
    assert mean > 0.29
    assert correlation > 0.8
    quantizer, generator = quantizers.create("wr"), seeded(2)
    optimizer = OPTIMIZERS["adam"]([codes], lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        quantizer(codes, generator=generator).backward()
        optimizer.step()
        codes.data.clamp_(-1, 1)
    mean, correlation = balance(codes.detach())
    # As small as 512 random codes have them: a standard error is 0.044, and these are the largest of many.
    assert mean < 0.13
    assert correlation < 0.2


# hswd and swd.


@pytest.mark.parametrize("name", ["hswd", "swd"])
def test_distance_of_a_sample_to_itself_is_zero(name: str) -> None:
    u = outputs()
    shuffled = u[torch.randperm(len(u), generator=seeded())]
    assert quantizers.create(name)(u, targets=shuffled).item() == pytest.approx(0, abs=1e-24)


@pytest.mark.parametrize("name", ["hswd", "swd"])
def test_distance_does_not_see_the_order_of_the_batch(name: str) -> None:
    quantizer, u, targets = quantizers.create(name), outputs(), signs()
    value = quantizer(u, targets=targets).item()
    order = torch.randperm(len(u), generator=seeded())
    assert quantizer(u[order], targets=targets).item() == pytest.approx(value, rel=1e-12)
    assert quantizer(u, targets=targets[order]).item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["hswd", "swd"])
def test_distance_is_symmetric(name: str) -> None:
    quantizer, a, b = quantizers.create(name), outputs(seed=1), outputs(seed=2)
    assert quantizer(a, targets=b).item() == quantizer(b, targets=a).item() > 0


@pytest.mark.parametrize("name", ["hswd", "swd"])
def test_root_of_distance_obeys_the_triangle_inequality(name: str) -> None:
    quantizer = quantizers.create(name)
    for seed in range(200):
        a, b, c = (scale * outputs(6, 3, 3 * seed + i) for i, scale in enumerate((1, 0.5, 2)))
        ab, bc, ac = (math.sqrt(quantizer(x, targets=y)) for x, y in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + 1e-12


def squared_wasserstein_2(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Of two samples of one size on a line, by optimal transport rather than by sorting."""
    cost = (a[:, None] - b[None, :]) ** 2
    return float(cost[linear_sum_assignment(cost)].mean())


def test_hswd_is_the_mean_over_bits_of_optimal_transport() -> None:
    u, targets = outputs(33), signs(33)
    bits = [squared_wasserstein_2(u[:, k].numpy(), targets[:, k].numpy()) for k in range(BITS)]
    assert quantizers.create("hswd")(u, targets=targets).item() == pytest.approx(np.mean(bits), rel=1e-9)


def test_hswd_of_one_bit_is_the_distance_of_sorted_values() -> None:
    quantizer, a, b = quantizers.create("hswd"), outputs(30, 1, 1), outputs(30, 1, 2)
    by_hand = np.mean([(x - y) ** 2 for x, y in zip(sorted(a[:, 0]), sorted(b[:, 0]), strict=True)])
    value = quantizer(a, targets=b).item()
    assert value == pytest.approx(float(by_hand), rel=1e-12)
    # Wasserstein-1 bounds the root from below, and equals it where one sample is the other shifted.
    assert math.sqrt(value) >= stats.wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    shifted = quantizer(a, targets=a + 0.75).item()
    assert math.sqrt(shifted) == pytest.approx(0.75)
    assert math.sqrt(shifted) == pytest.approx(stats.wasserstein_distance(a[:, 0].numpy(), a[:, 0].numpy() + 0.75))


def test_hswd_gradient_is_that_of_the_matched_differences() -> None:
    u, targets = outputs(7, 2).requires_grad_(), signs(7, 2)
    (gradient,) = torch.autograd.grad(quantizers.create("hswd")(u, targets=targets), u)
    for bit in range(2):
        ranks = stats.rankdata(u[:, bit].detach().numpy()).astype(int) - 1
        matched = np.sort(targets[:, bit].numpy())[ranks]
        expected = 2 * (u[:, bit].detach().numpy() - matched) / u.numel()
        np.testing.assert_allclose(gradient[:, bit].numpy(), expected, rtol=1e-12)


def test_swd_along_the_axes_is_hswd(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, u, targets = quantizers.create("swd", projections=BITS), outputs(), signs()
    monkeypatch.setattr(quantizer, "_directions", lambda u, generator: torch.eye(BITS, dtype=u.dtype))
    assert torch.equal(quantizer(u, targets=targets), quantizers.create("hswd")(u, targets=targets))


def test_swd_equals_plain_loops_given_its_directions() -> None:
    n, bits, lines = 9, 4, 7
    quantizer, u, targets = quantizers.create("swd", projections=lines), outputs(n, bits), signs(n, bits)
    directions = quantizer._directions(u, seeded(5))  # type: ignore[operator]
    total = 0.0
    for line in range(lines):
        a, b = (
            [sum(float(x[i, k] * directions[k, line]) for k in range(bits)) for i in range(n)] for x in (u, targets)
        )
        total += squared_wasserstein_2(np.array(a), np.array(b))
    value = quantizer(u, targets=targets, generator=seeded(5))
    assert value.item() == pytest.approx(total / lines, rel=1e-9)


def test_swd_directions_are_unit_columns_all_around() -> None:
    quantizer = quantizers.create("swd", projections=4000)
    directions = quantizer._directions(outputs(), seeded())  # type: ignore[operator]
    assert directions.shape == (BITS, 4000)
    np.testing.assert_allclose(directions.norm(dim=0).numpy(), 1, rtol=1e-6)
    assert directions.mean(dim=1).abs().max() < 0.03
    np.testing.assert_allclose((directions @ directions.T / 4000).numpy(), np.eye(BITS) / BITS, atol=0.01)


def test_swd_of_shifted_samples_is_the_shift_along_the_directions() -> None:
    quantizer, u = quantizers.create("swd", projections=5), outputs()
    shift = torch.full((BITS,), 0.3, dtype=torch.float64)
    directions = quantizer._directions(u, seeded(5))  # type: ignore[operator]
    value = quantizer(u, targets=u + shift, generator=seeded(5))
    assert value.item() == pytest.approx((shift @ directions).square().mean().item(), rel=1e-9)


# How terms compose.

#: Whether the method's own term stays, and what the quantizer is given, as design.md and the papers have it.
DESIGN = {
    "none": (False, "relaxed"),
    "original": (True, "relaxed"),
    "wr": (True, "relaxed"),
    "cb": (True, "relaxed"),
    "swd": (False, "raw"),
    "hswd": (False, "raw"),
    "ot": (False, "raw"),
}


class Plain(Method):
    """Losses whose values are told apart at a glance."""

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return 100 + u.sum()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return 10 + u.square().sum()


def composed(quantizer: Quantizer, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    u = (2 * outputs()).requires_grad_()
    method = Plain(code_length=BITS, num_classes=3, num_train=len(u))
    batch = (u, torch.zeros(len(u), 3), torch.arange(len(u)))
    return u, losses(method, quantizer, name, batch, seeded(7))


@every_quantizer
def test_composition_is_that_of_the_design(name: str) -> None:
    quantizer = quantizers.create(name)
    keeps_own, reads = DESIGN[name]
    u, parts = composed(quantizer, name)
    expected = {"similarity": 100 + u.sum()}
    total = expected["similarity"]
    if keeps_own:
        expected["own_quantization"] = 10 + u.square().sum()
        total = total + expected["own_quantization"]
    if name not in ("none", "original"):
        expected[name] = quantizer(u if reads == "raw" else torch.tanh(u), generator=seeded(7))
        total = total + quantizer.weight * expected[name]
    assert list(parts) == ["loss", *expected]
    for part, value in expected.items():
        assert parts[part].item() == pytest.approx(value.item(), rel=1e-12), part
    assert parts["loss"].item() == pytest.approx(total.item(), rel=1e-12)
    gradients = [torch.autograd.grad(value, u)[0] for value in (parts["loss"], total)]
    np.testing.assert_allclose(gradients[0].numpy(), gradients[1].numpy(), rtol=1e-9)


@pytest.mark.parametrize("reads", ["raw", "relaxed"])
@drawing
def test_params_can_change_what_a_quantizer_reads(name: str, reads: str) -> None:
    quantizer = quantizers.create(name, reads=reads, weight=0.5)
    u, parts = composed(quantizer, name)
    given = u if reads == "raw" else torch.tanh(u)
    assert torch.equal(parts[name], quantizer(given, generator=seeded(7)))
    rest = parts["loss"] - parts["similarity"] - parts.get("own_quantization", torch.zeros(()))
    assert rest.item() == pytest.approx(0.5 * parts[name].item(), rel=1e-9)


def test_every_quantizer_is_in_the_design() -> None:
    assert set(quantizers.names()) <= set(DESIGN)
