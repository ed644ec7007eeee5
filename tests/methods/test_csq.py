"""CSQ: its equations as loops, its centers, ties of several labels, and what its own term pulls to."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipeline import methods
from pipeline.methods import csq
from pipeline.methods.csq import CSQ, hash_centers
from pipeline.runtime.errors import UserError
from tests.losses import outputs
from tests.messages import one_line


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
            votes = sum(float(method.centers[c, k]) for c in names)
            tied += votes == 0
            target = math.copysign(1, votes or sum(float(method.tie_breaks[c, k]) for c in names))
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


def test_single_labels_aim_at_their_center() -> None:
    method = make(7, 16)
    assert torch.equal(method.targets(torch.eye(7, dtype=torch.float64)), method.centers)


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
    votes = labels @ method.centers
    agrees = method.targets(labels) == votes.sign()
    assert bool(agrees[votes != 0].all()) and bool((votes == 0).any())


def test_images_with_a_common_label_get_similar_bits_in_ties() -> None:
    method = make(21, 64)
    pairs = [[(0, b), (0, c), (d, e)] for b, c, d, e in ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16))]
    agreeing: dict[str, list[float]] = {"common": [], "none": []}
    for sets in pairs:
        labels = torch.stack([torch.eye(21, dtype=torch.float64)[list(names)].sum(dim=0) for names in sets])
        votes, targets = labels @ method.centers, method.targets(labels)
        for other, kind in ((1, "common"), (2, "none")):
            tied = (votes[0] == 0) & (votes[other] == 0)
            agreeing[kind].append((targets[0] == targets[other])[tied].double().mean().item())
    assert sum(agreeing["common"]) > sum(agreeing["none"])


# Centers.


def distances(centers: csq.Centers) -> npt.NDArray[np.int64]:
    """Hamming distances of all pairs."""
    wide = centers.astype(np.int64)
    return np.asarray((centers.shape[1] - wide @ wide.T) // 2)[np.triu_indices(len(centers), 1)]


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("share", [0.5, 1.0, 1.5, 2.0])
def test_hadamard_centers_are_half_or_all_bits_apart(bits: int, share: float) -> None:
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
def test_sampled_centers_are_far_apart(classes: int, bits: int, smallest: int) -> None:
    centers = hash_centers(classes, bits, seed=0)
    found = distances(centers)
    assert centers.shape == (classes, bits)
    assert len(np.unique(centers, axis=0)) == classes
    assert found.min() >= smallest
    assert (centers.sum(axis=1, dtype=np.int64) == 0).all()


def test_odd_code_lengths_have_centers() -> None:
    found = hash_centers(5, 13, seed=0)
    assert found.shape == (5, 13)
    assert distances(found).min() >= 6


def test_center_seed_chooses_the_sampled_centers() -> None:
    assert not np.array_equal(hash_centers(10, 24, seed=0), hash_centers(10, 24, seed=1))
    first, again, other = (make(10, 24, center_seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.centers, again.centers)
    assert torch.equal(first.tie_breaks, again.tie_breaks)
    assert not torch.equal(first.centers, other.centers)


@pytest.mark.parametrize(("classes", "bits"), [(10, 2), (3, 1), (10, 3)])
def test_codes_too_short_for_the_classes_are_refused(classes: int, bits: int) -> None:
    with pytest.raises(UserError) as error:
        methods.create("csq", code_length=bits, num_classes=classes, num_train=8)
    one_line(error, "csq", f"{classes} distinct centers", f"{bits} bits")
