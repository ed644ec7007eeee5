"""Hash centers: their distances, and codes that are too short."""

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import methods
from pipeline.methods.shared.centers import Centers, hash_centers, sampled_centers
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


@pytest.mark.parametrize("name", ["csq", "dpn", "mdsh", "orthohash"])
@pytest.mark.parametrize(("classes", "bits"), [(10, 2), (3, 1), (10, 3)])
def test_codes_too_short_for_the_classes_are_refused(classes: int, bits: int, name: str) -> None:
    with pytest.raises(UserError) as error:
        methods.create(name, code_length=bits, num_classes=classes, num_train=8)
    one_line(error, f"{classes} distinct hash centers", f"{bits} bits")
