"""Hash centers: a code for each class, and the target code of an image with several labels."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.methods import sign
from pipeline.runtime.errors import UserError

Centers = npt.NDArray[np.int8]
#: Pairs that are this many bits further apart than the closest one don't count in ``separated_centers``.
_FURTHER = 20


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
    half = np.repeat(np.array([-1, 1], dtype=np.int8), [code_length // 2, code_length - code_length // 2])
    for smallest in range(code_length // 2, 0, -1):
        centers = np.empty((0, code_length), dtype=np.int8)
        for _ in range(100 * num_classes):
            candidate = half[np.argsort(random.random_raw(code_length), kind="stable")]
            distances = (code_length - centers @ candidate.astype(np.int64)) / 2
            if len(centers) == 0 or distances.min() >= smallest:
                centers = np.concatenate([centers, candidate[None]])
            if len(centers) == num_classes:
                return centers
    raise UserError(
        f"no {num_classes} distinct hash centers of {code_length} bits were found; expected more bits, or fewer classes"
    )


def separated_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C codes of which the closest two are as far apart as a descent finds.

    It begins with ``hash_centers`` and flips the bit that lowers sum_ij 4^-d_ij most, where d_ij are Hamming distances,
    until no flip lowers it. The closest pairs have nearly all of this sum.

    Args:
        num_classes: C.
        code_length: K.
        seed: seed of sampled centers.

    Returns:
        (C, K) of -1/+1.

    Raises:
        UserError: as ``hash_centers``.
    """
    codes = hash_centers(num_classes, code_length, seed).astype(np.int64)
    for _ in range(10 * codes.size):
        distances = (code_length - codes @ codes.T) // 2
        np.fill_diagonal(distances, code_length)
        # Whole numbers, so that the choice doesn't depend on rounding.
        further = distances - distances.min()
        weights = np.where(further <= _FURTHER, 4 ** np.clip(_FURTHER - further, 0, None), 0)
        np.fill_diagonal(weights, 0)
        # A flip moves a pair apart by a bit where its bits are equal, else closer: 8 times the change of the sum.
        change = 9 * weights.sum(axis=1, keepdims=True) - 15 * codes * (weights @ codes)
        best = np.unravel_index(change.argmin(), change.shape)
        if change[best] >= 0:
            break
        codes[best] *= -1
    return codes.astype(np.int8)


def _hadamard(size: int) -> Centers:
    """Sylvester's construction, as in ``scipy.linalg.hadamard``, but without importing SciPy."""
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
