"""CSQ: its equations as loops, ties of several labels, and what its own term pulls to."""

import math
from typing import Any

import pytest
import torch

from pipeline.methods.csq import CSQ
from tests.losses import outputs


def make(classes: int, bits: int, **hyperparameters: Any) -> CSQ:
    return CSQ(code_length=bits, num_classes=classes, num_train=8, **hyperparameters).double()


def test_losses_equal_plain_loops() -> None:
    bits, classes, weight = 8, 5, 0.3
    method = make(classes, bits, quantization=weight)
    labels = torch.zeros(6, classes, dtype=torch.float64)
    chosen = [[0], [3], [0, 1], [1, 2, 4], [0, 1, 2, 3], [0, 1, 2, 3, 4]]  # two and four can tie
    for row, names in enumerate(chosen):
        labels[row, names] = 1
    u = outputs(6, bits)
    tied = 0
    central = quantization = 0.0
    for i, names in enumerate(chosen):
        for k in range(bits):
            votes = sum(float(method.targets.centers[c, k]) for c in names)
            tied += votes == 0
            target = math.copysign(1, votes or sum(float(method.targets.tie_breaks[c, k]) for c in names))
            c, h = (target + 1) / 2, 1 / (1 + math.exp(-2 * float(u[i, k])))
            central -= c * math.log(h) + (1 - c) * math.log(1 - h)
            quantization += math.log(math.cosh(abs(2 * h - 1) - 1))
    assert tied > 0
    indices = torch.arange(6)
    similarity, own = (f(u, labels, indices) for f in (method.similarity_loss, method.quantization_loss))
    assert similarity.item() == pytest.approx(central / (6 * bits), rel=1e-6)
    assert own.item() == pytest.approx(weight * quantization / (6 * bits), rel=1e-6)


def test_own_term_vanishes_at_binary_codes_and_falls_towards_them() -> None:
    method = make(4, 8, quantization=1.0)
    labels, indices = torch.eye(4, dtype=torch.float64), torch.arange(4)

    def measured(size: float) -> float:
        u = torch.full((4, 8), size, dtype=torch.float64)
        return method.quantization_loss(u, labels, indices).item()

    values = [measured(size) for size in (0.0, 0.5, 1.0, 2.0, 20.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(math.log(math.cosh(1)))
    assert values[-1] == pytest.approx(0, abs=1e-12)


# Targets.


def test_center_seed_chooses_the_sampled_centers() -> None:
    first, again, other = (make(10, 24, center_seed=seed).targets for seed in (3, 3, 4))
    assert torch.equal(first.centers, again.centers)
    assert torch.equal(first.tie_breaks, again.tie_breaks)
    assert not torch.equal(first.centers, other.centers)


def test_single_labels_aim_at_their_center() -> None:
    method = make(7, 16)
    assert torch.equal(method.targets(torch.eye(7, dtype=torch.float64)), method.targets.centers)


def test_ties_are_broken_alike_for_all_images_and_seeds_of_training() -> None:
    labels = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.float64)
    torch.manual_seed(1)
    first = make(4, 16).targets(labels)
    torch.manual_seed(2)
    assert torch.equal(first, make(4, 16).targets(labels))
    assert bool((first.abs() == 1).all())


@pytest.mark.parametrize(("classes", "bits"), [(4, 16), (21, 32), (80, 64)])
def test_tie_breaks_never_outvote_a_center(classes: int, bits: int) -> None:
    method = make(classes, bits)
    labels = (outputs(500, classes) > 0.7).double()
    votes = labels @ method.targets.centers
    agrees = method.targets(labels) == votes.sign()
    assert bool(agrees[votes != 0].all()) and bool((votes == 0).any())


def test_images_with_a_common_label_get_similar_bits_in_ties() -> None:
    method = make(21, 64)
    pairs = [[(0, b), (0, c), (d, e)] for b, c, d, e in ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16))]
    agreeing: dict[str, list[float]] = {"common": [], "none": []}
    for sets in pairs:
        labels = torch.stack([torch.eye(21, dtype=torch.float64)[list(names)].sum(dim=0) for names in sets])
        votes, targets = labels @ method.targets.centers, method.targets(labels)
        for other, kind in ((1, "common"), (2, "none")):
            tied = (votes[0] == 0) & (votes[other] == 0)
            agreeing[kind].append((targets[0] == targets[other])[tied].double().mean().item())
    assert sum(agreeing["common"]) > sum(agreeing["none"])
