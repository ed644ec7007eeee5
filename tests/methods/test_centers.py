"""Hash centers: their distances, and codes that are too short."""

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import methods
from pipeline.methods.shared.centers import Centers, hash_centers, sampled_centers, separated_centers
from pipeline.runtime.errors import UserError
from tests.messages import one_line


def distances(centers: Centers) -> npt.NDArray[np.int64]:
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


def test_the_seed_chooses_the_sampled_centers() -> None:
    assert not np.array_equal(hash_centers(10, 24, seed=0), hash_centers(10, 24, seed=1))
    assert np.array_equal(hash_centers(10, 24, seed=1), sampled_centers(10, 24, seed=1))


@pytest.mark.parametrize(("classes", "bits"), [(10, 12), (50, 12), (81, 16), (30, 21)])
def test_centers_are_drawn_one_at_a_time(classes: int, bits: int) -> None:
    """Computed in blocks, but kept or not in the order of the draws."""
    random, half = np.random.Philox(key=[3, 0]), [-1] * (bits // 2) + [1] * (bits - bits // 2)
    for smallest in range(bits // 2, 0, -1):
        kept: list[list[int]] = []
        for _ in range(100 * classes):
            drawn = [half[k] for k in np.argsort(random.random_raw(bits), kind="stable")]
            if all(sum(a != b for a, b in zip(drawn, code, strict=True)) >= smallest for code in kept):
                kept.append(drawn)
            if len(kept) == classes:
                break
        if len(kept) == classes:
            break
    assert sampled_centers(classes, bits, 3).tolist() == kept


@pytest.mark.parametrize(
    ("classes", "bits", "smallest"),
    [(100, 48, 20), (81, 48, 20), (10, 48, 25), (10, 64, 34), (81, 16, 5), (21, 32, 16), (2, 8, 8)],  # as measured
)
def test_the_descent_moves_the_closest_centers_apart(classes: int, bits: int, smallest: int) -> None:
    found = separated_centers(classes, bits, 0)
    assert found.shape == (classes, bits) and found.dtype == np.int8 and set(np.unique(found)) == {-1, 1}
    assert distances(found).min() == smallest >= distances(hash_centers(classes, bits, 0)).min()


@pytest.mark.parametrize("bits", [8, 12, 13, 16, 32, 128])
def test_the_descent_never_brings_the_closest_centers_together(bits: int) -> None:
    for classes in (2, 3, 10, 17, 20, 38, 50, 64, 100):
        if classes <= 2 ** (bits - 2):
            before, after = hash_centers(classes, bits, 0), separated_centers(classes, bits, 0)
            assert distances(after).min() >= distances(before).min(), f"{classes} classes"


@pytest.mark.parametrize(("classes", "bits"), [(17, 16), (10, 12), (20, 13), (10, 8), (5, 9)])
def test_the_descent_takes_the_best_flip_of_all(classes: int, bits: int) -> None:
    """Every flip is tried, in exact arithmetic."""
    codes = hash_centers(classes, bits, 0).tolist()
    best, largest = [list(code) for code in codes], 0

    def apart(i: int) -> list[int]:
        return [sum(a != b for a, b in zip(codes[i], codes[j], strict=True)) for j in range(classes) if j != i]

    while True:
        smallest = min(min(apart(i)) for i in range(classes))
        if smallest >= largest:
            best, largest = [list(code) for code in codes], smallest
        changes = []
        for i in range(classes):
            before = sum(4 ** (bits + 1 - d) for d in apart(i))
            for k in range(bits):
                codes[i][k] *= -1
                changes.append((sum(4 ** (bits + 1 - d) for d in apart(i)) - before, i, k))
                codes[i][k] *= -1
        change, i, k = min(changes)
        if change >= 0:
            break
        codes[i][k] *= -1
    assert separated_centers(classes, bits, 0).tolist() == best


def test_one_center_is_far_from_all_others() -> None:
    assert separated_centers(1, 8, 0).shape == (1, 8)


@pytest.mark.parametrize("name", ["csq", "dpn", "mdsh", "orthohash"])
@pytest.mark.parametrize(("classes", "bits"), [(10, 2), (3, 1), (10, 3)])
def test_codes_too_short_for_the_classes_are_refused(classes: int, bits: int, name: str) -> None:
    with pytest.raises(UserError) as error:
        methods.create(name, code_length=bits, num_classes=classes, num_train=8)
    one_line(error, f"{classes} distinct hash centers", f"{bits} bits")
