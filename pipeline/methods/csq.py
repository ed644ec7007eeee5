"""``csq``: central similarity quantization (Yuan et al., CVPR 2020)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, sign
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import NonNegative, PositiveInt, Seed

Centers = npt.NDArray[np.int8]


class CSQ(Method):
    """Pulls every image to the hash center of its class by binary cross-entropy.

    Central similarity (eq. 5), with center c in {0, 1}^K and h in (0, 1)^K:

        L_C = 1/K sum_k -[c_k log h_k + (1 - c_k) log(1 - h_k)]

    and the method's own quantization term (eq. 7): lambda * sum_k log cosh(|2 h_k - 1| - 1).
    In -1/+1 terms the relaxed code is tanh(u) = 2h - 1, so h = sigmoid(2u). The cross-entropy is computed
    from 2u, which can't overflow.

    Centers (section 3.2): if K is a power of two and C <= 2K, the centers are the rows of the Hadamard matrix
    H_K, then of -H_K. Otherwise they are drawn one at a time with K/2 random ones (Algorithm 1). A draw is kept
    if its distance to all kept centers is at least K/2. This bound falls by one bit whenever 100 C draws
    didn't give C centers. The target of an image with several labels is the bitwise majority of its centers.

    Some bits of Hadamard centers are the same for all classes, so they are dead: with C <= 16 classes the bits
    0, 16, 32, ..., which are 1 of 16, 2 of 32 and 4 of 64 bits.

    Deviations: Algorithm 1 requires the average distance to be at least K/2; here the minimum is bounded. The
    own term is a mean over bits where the paper has a sum, so lambda means the same at every K. In a tie of the
    centers of several labels, the paper draws the bit. Here every class has a small random number for each bit, and
    the sign of their sum breaks the tie, so that images with common labels get similar bits. If the targets
    themselves are the codes, the mAP for label sets drawn from 21 classes is 0.922 to 0.927 at 64 bits over six
    values of ``center_seed``; with one drawn bit for all images it is 0.841 to 0.874, and with one for each
    set of labels 0.909 to 0.913.

    Args:
        quantization: lambda, weight of the own term.
        center_seed: seed of the sampled centers and tie-breaks; all training seeds have the same centers.
    """

    centers: Tensor
    tie_breaks: Tensor

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        quantization: NonNegative = 0.0001,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.quantization = quantization
        centers = hash_centers(num_classes, code_length, center_seed)
        drawn = np.random.Philox(key=[center_seed, 1]).random_raw((num_classes, code_length)) / 2**64 - 0.5
        # Small enough that all classes together don't outvote a center.
        small = drawn / num_classes
        self.register_buffer("centers", torch.as_tensor(centers, dtype=torch.float32))
        self.register_buffer("tie_breaks", torch.as_tensor(small, dtype=torch.float32))

    def targets(self, labels: Tensor) -> Tensor:
        """The -1/+1 target (b, K) of each image: its class's center, or the majority of its classes' centers."""
        return sign(labels.to(self.centers.dtype) @ (self.centers + self.tie_breaks))

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        center = (self.targets(labels) + 1) / 2
        return functional.binary_cross_entropy_with_logits(2 * u.to(center.dtype), center)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        distance = self.relax(u.to(self.centers.dtype)).abs() - 1
        return self.quantization * distance.cosh().log().mean()


def hash_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C mutually distant codes, (C, K) of -1/+1; see ``CSQ`` for the rule.

    Args:
        num_classes: C.
        code_length: K.
        seed: seed of sampled centers; the Hadamard rows don't depend on it.

    Raises:
        UserError: no such set was found, because the code is too short for the number of classes.
    """
    power_of_two = code_length & (code_length - 1) == 0
    if power_of_two and num_classes <= 2 * code_length:
        hadamard = _hadamard(code_length)
        return np.concatenate([hadamard, -hadamard])[:num_classes]
    return _sampled(num_classes, code_length, np.random.Philox(key=[seed, 0]))


def _hadamard(size: int) -> Centers:
    """Sylvester's construction, as in ``scipy.linalg.hadamard``, but without importing SciPy."""
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _sampled(num_classes: int, code_length: int, random: np.random.Philox) -> Centers:
    """Balanced random centers, drawn one at a time; the allowed distance falls if too few are found.

    Codes are shuffled by sorting raw random numbers, which are the same in all NumPy versions. The methods of a
    Generator may change.
    """
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
    raise UserError(f"csq: no {num_classes} distinct centers of {code_length} bits were found; expected more bits")
