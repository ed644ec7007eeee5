"""The pairing against brute force and other solvers, what it refuses, and what it asks of a GPU."""

import itertools
import math
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from pipeline import protocols, quantizers
from pipeline.assignment import optimal_pairing
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from tests.conftest import ROOT
from tests.losses import outputs, seeded, signs


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


# Large batches, which are priced first.


def clustered(n: int, bits: int, noise: float, seed: int = 0) -> Tensor:
    """Codes of a network that has learned ten classes; without noise, ten codes."""
    centers = signs(10, bits, seed)[torch.arange(n) % 10]
    return centers + noise * outputs(n, bits, seed + 1)


KINDS = {
    "early": lambda n, bits: (0.3 * outputs(n, bits)).tanh(),
    "trained": lambda n, bits: clustered(n, bits, 0.4).tanh(),
    "saturated": lambda n, bits: (40 * clustered(n, bits, 0.7)).tanh(),
    "ten codes": lambda n, bits: clustered(n, bits, 0.0),
    "one code": lambda n, bits: outputs(1, bits).expand(n, bits),
    "nothing": lambda n, bits: torch.zeros(n, bits, dtype=torch.float64),
    "one outlier": lambda n, bits: torch.cat([30 * outputs(1, bits), outputs(n - 1, bits)]),
}


@pytest.mark.parametrize("bits", [4, 48])
@pytest.mark.parametrize("n", [127, 128, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_pairing_of_many_codes_is_the_optimum_of_another_solver(kind: str, n: int, bits: int) -> None:
    """One that takes sparse matrices, in which an entry of 0 would be no edge: costs are shifted to begin at 1."""
    u, targets = KINDS[kind](n, bits).float(), signs(n, bits).float()
    found = optimal_pairing(u, targets).numpy()
    assert sorted(found) == list(range(n))
    costs = -(u @ targets.T).double().numpy()
    rows, columns = min_weight_full_bipartite_matching(csr_array(costs - costs.min() + 1))
    best, ours = math.fsum(costs[rows, columns]), math.fsum(costs[range(n), found])
    assert ours == pytest.approx(best, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-8, 1e8, 1e30, 3e36])
def test_scale_of_the_codes_changes_no_pairing_of_many(scale: float) -> None:
    u, targets = clustered(160, 16, 0.4).tanh().float(), signs(160, 16).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = optimal_pairing(scale * u, targets)
    gains = (scale * u @ targets.T).double().numpy()
    rows, columns = linear_sum_assignment(gains, maximize=True)
    assert gains[rows, found.numpy()].sum() == pytest.approx(gains[rows, columns].sum(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_pairing_of_many_codes_is_the_same_each_time(kind: str) -> None:
    u, targets = KINDS[kind](200, 16), signs(200, 16)
    assert torch.equal(optimal_pairing(u, targets), optimal_pairing(u.clone(), targets.clone()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pairing_of_many_codes_refuses_what_is_not_finite(value: float) -> None:
    u = outputs(200)
    u[199, 1] = value
    with pytest.raises(ValueError, match="finite"):
        optimal_pairing(u, signs(200))


# On a GPU.


@pytest.mark.gpu
@pytest.mark.parametrize("n", [16, 200, 512])
def test_pairing_on_cuda_is_that_of_the_cpu(n: int) -> None:
    """Outputs are multiples of 1/64, so that every sum of products is exact, in whatever order."""
    u, targets = (64 * outputs(n, 32)).round() / 64, signs(n, 32)
    found = optimal_pairing(u.cuda(), targets.cuda())
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), optimal_pairing(u, targets))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["wr", "ot"])
def test_term_on_cuda_is_that_of_the_cpu(name: str) -> None:
    u, targets = (64 * outputs(200, 32)).round().float() / 64, signs(200, 32).float()
    there = quantizers.create(name)(u.cuda(), targets=targets.cuda())
    assert there.item() == pytest.approx(quantizers.create(name)(u, targets=targets).item(), rel=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "waits"), [("original", 0), ("wr", 1), ("swd", 0), ("hswd", 0), ("ot", 1)])
def test_a_step_waits_for_the_gpu_once_at_most(name: str, waits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch raises at every wait but that for an event, and those are counted."""
    labels = np.eye(10, dtype=np.uint8)[np.arange(400) % 10]
    data = Prepared(np.random.default_rng(0).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8), labels, {})
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["compute"]["device"], params["training"]["batch_size"] = "cuda", 150
    split = protocols.create("counts", per_class={"query": 1, "validation": 1, "train": 38}).split(labels, [], 0)
    one = trainer(params, Group("dsdh", name, 16), 0, data, split)
    one.prime()
    one.epoch(0)
    indices = torch.arange(150, device="cuda")
    (images,) = one.images.batches([indices])

    waited: list[object] = []
    wait = torch.cuda.Event.synchronize
    monkeypatch.setattr(torch.cuda.Event, "synchronize", lambda event: (waited.append(event), wait(event)))
    torch.cuda.set_sync_debug_mode("error")
    try:
        one._step(indices, images)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waited) == waits
