"""Hash centers: a code for each class, and the target code of an image with several labels."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.methods import sign
from pipeline.runtime.errors import UserError

Centers = npt.NDArray[np.int8]
#: Pairs that are further apart than the closest two at first by more bits don't count in ``separated_centers``.
_FURTHER = 20
#: The largest power of 4 that is the weight of a pair there, so that sums of weights stay below 2^63.
_LARGEST = 23


class Targets(nn.Module):
    """The target of each image: its class's center, or the bitwise majority of its classes' centers.

    Ties: every class has a small random number for each bit, and the sign of their sum breaks the tie. So the rule is
    the same for all images, and images with common labels get similar bits.

    Args:
        centers: (C, K) of -1/+1.
        seed: seed of the small numbers.

    Attributes:
        centers: (C, K) float.
        tie_breaks: (C, K), so small that those of all classes together don't outvote a center.
    """

    centers: Tensor
    tie_breaks: Tensor

    def __init__(self, centers: Centers, seed: int) -> None:
        super().__init__()
        drawn = np.random.Philox(key=[seed, 1]).random_raw(centers.shape) / 2**64 - 0.5
        self.register_buffer("centers", torch.as_tensor(centers, dtype=torch.float32))
        self.register_buffer("tie_breaks", torch.as_tensor(drawn / len(centers), dtype=torch.float32))

    def forward(self, labels: Tensor) -> Tensor:
        """-1/+1 targets (b, K) of images with labels (b, C)."""
        return sign(labels.to(self.centers.dtype) @ (self.centers + self.tie_breaks))


def hash_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C mutually distant codes (Yuan et al. 2020, CSQ, section 3.2).

    If K is a power of two and C <= 2K, they are the rows of the Hadamard matrix H_K, then of -H_K. Otherwise they are
    drawn, see ``sampled_centers``.

    Args:
        num_classes: C.
        code_length: K.
        seed: seed of sampled centers; the Hadamard rows don't depend on it.

    Returns:
        (C, K) of -1/+1.

    Raises:
        UserError: no such set was found, because the code is too short for the number of classes.
    """
    power_of_two = code_length & (code_length - 1) == 0
    if power_of_two and num_classes <= 2 * code_length:
        hadamard = _hadamard(code_length)
        return np.concatenate([hadamard, -hadamard])[:num_classes]
    return sampled_centers(num_classes, code_length, seed)


def sampled_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C random codes with K/2 ones each, drawn one at a time (Algorithm 1 of CSQ).

    A draw is kept if its distance to all kept ones is at least K/2. This bound falls by one bit whenever 100 C draws
    didn't give C centers.

    Args:
        num_classes: C.
        code_length: K.
        seed: seed of the draws.

    Returns:
        (C, K) of -1/+1.

    Raises:
        UserError: no such set was found, because the code is too short for the number of classes.
    """
    # Codes are shuffled by sorting raw random numbers, which are the same in all NumPy versions. The methods of a
    # Generator may change.
    random = np.random.Philox(key=[seed, 0])
    half = np.repeat(np.array([-1, 1], dtype=np.float32), [code_length // 2, code_length - code_length // 2])
    for smallest in range(code_length // 2, 0, -1):
        # The scalar product of two codes is K - 2 times their distance.
        centers, largest = np.empty((0, code_length), dtype=np.float32), code_length - 2 * smallest
        for _ in range(100):
            raw = random.random_raw(num_classes * code_length).reshape(num_classes, code_length)
            drawn = half[np.argsort(raw, axis=1, kind="stable")]
            drawn = drawn[(drawn @ centers.T <= largest).all(axis=1)]
            while len(drawn):
                centers, drawn = np.concatenate([centers, drawn[:1]]), drawn[drawn @ drawn[0] <= largest]
                if len(centers) == num_classes:
                    return centers.astype(np.int8)
    raise UserError(
        f"no {num_classes} distinct hash centers of {code_length} bits were found; expected more bits, or fewer classes"
    )


def separated_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C codes of which the closest two are as far apart as a descent finds.

    It begins with ``hash_centers`` and flips the bit that lowers sum_ij 4^-d_ij most, where d_ij are Hamming distances,
    until no flip lowers it. The closest pairs have nearly all of this sum. But many pairs that move apart can outweigh
    a pair that moves together, so of all codes on the way, those with the largest smallest distance are returned.

    Args:
        num_classes: C.
        code_length: K.
        seed: seed of sampled centers.

    Returns:
        (C, K) of -1/+1. The closest two are at least as far apart as in ``hash_centers``.

    Raises:
        UserError: as ``hash_centers``.
    """
    best = hash_centers(num_classes, code_length, seed)
    codes, itself = best.astype(np.int64), code_length + 1
    distances = ((code_length - codes @ codes.T) // 2).astype(np.int16)
    np.fill_diagonal(distances, itself)
    largest = int(distances.min())
    # Whole numbers, so that the choice doesn't depend on rounding: 4^-d for each distance d, but 0 for a code itself.
    power = largest + _FURTHER - np.arange(code_length + 2)
    weight_of = np.where(power >= 0, 4 ** np.clip(power, 0, _LARGEST), 0)
    weight_of[itself] = 0
    sums, pulls = weight_of[distances].sum(axis=1), weight_of[distances] @ codes
    for _ in range(10 * codes.size):
        # A flip moves a pair apart by a bit where its bits are equal, else closer: 8 times the change of the sum.
        change = 9 * sums[:, None] - 15 * codes * pulls
        row, bit = np.unravel_index(change.argmin(), change.shape)
        if change[row, bit] >= 0:
            break
        # A flip changes the distances of its row alone, so the sums are updated and not computed again.
        old, apart = weight_of[distances[row]], codes[:, bit] * codes[row, bit]
        apart[row] = 0
        pulls -= np.outer(old, codes[row])
        codes[row, bit] *= -1
        distances[row] += apart.astype(np.int16)
        distances[:, row] = distances[row]
        new = weight_of[distances[row]]
        pulls += np.outer(new, codes[row])
        sums += new - old
        sums[row], pulls[row] = new.sum(), new @ codes
        smallest = int(distances.min())
        if smallest >= largest:
            best, largest = codes.astype(np.int8), smallest
    return best


def _hadamard(size: int) -> Centers:
    """Sylvester's construction, as in ``scipy.linalg.hadamard``, but without importing SciPy."""
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
