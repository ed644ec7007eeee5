"""``csq``: central similarity quantization (Yuan et al., CVPR 2020)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import NonNegative, PositiveInt, Seed

Centers = npt.NDArray[np.int8]


class CSQ(Method):
    """Every image is pulled to the hash center of its class by binary cross-entropy.

    Central similarity (eq. 5), with center c in {0, 1}^K and h in (0, 1)^K:

        L_C = 1/K sum_k -[c_k log h_k + (1 - c_k) log(1 - h_k)]

    and the method's own quantization term (eq. 7): lambda * sum_k log cosh(|2 h_k - 1| - 1).
    In -1/+1 terms the relaxed code is tanh(u) = 2h - 1, so h = sigmoid(2u) and the cross-entropy is
    computed from 2u, which can't overflow.

    Centers (section 3.2): rows of the Hadamard matrix H_K, then of -H_K, where K is a power of two and C <= 2K;
    otherwise drawn one at a time with K/2 random ones (Algorithm 1), keeping a draw whose distance to all kept
    ones is at least K/2, a bound that falls by one bit whenever 100 C draws didn't yield C centers.
    An image with several labels aims at the bitwise majority of its centers, ties broken by a seeded coin.

    Deviations: Algorithm 1 asks for the average distance to be at least K/2; here the minimum is bounded. The
    own term is a mean over bits where the paper has a sum, so lambda means the same at every K.

    Args:
        quantization: lambda, weight of the own term.
        center_seed: seed of sampled centers and tie-breaks; the same centers for all training seeds.
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
        coin = 2.0 * (np.random.Philox(key=[center_seed, 1]).random_raw(code_length) % 2) - 1
        self.register_buffer("centers", torch.as_tensor(centers, dtype=torch.float32))
        self.register_buffer("tie_breaks", torch.as_tensor(coin, dtype=torch.float32))

    def targets(self, labels: Tensor) -> Tensor:
        """The -1/+1 center (b, K) that each image aims at: its class's, or the majority of its classes'."""
        votes = labels.to(self.centers.dtype) @ self.centers
        return torch.where(votes == 0, self.tie_breaks, votes.sign())

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        center = (self.targets(labels) + 1) / 2
        return functional.binary_cross_entropy_with_logits(2 * u.to(center.dtype), center)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        distance = self.relax(u.to(self.centers.dtype)).abs() - 1
        return self.quantization * distance.cosh().log().mean()


def hash_centers(num_classes: int, code_length: int, seed: int) -> Centers:
    """C mutually distant codes, (C, K) of -1/+1; see ``CSQ`` for the rule.

    Raises:
        UserError: no such set was found; the code is too short for the number of classes.
    """
    power_of_two = code_length & (code_length - 1) == 0
    if power_of_two and num_classes <= 2 * code_length:
        hadamard = _hadamard(code_length)
        return np.concatenate([hadamard, -hadamard])[:num_classes]
    return _sampled(num_classes, code_length, np.random.Philox(key=[seed, 0]))


def _hadamard(size: int) -> Centers:
    """Sylvester's construction; ``scipy.linalg.hadamard`` gives the same at the cost of importing SciPy."""
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _sampled(num_classes: int, code_length: int, random: np.random.Philox) -> Centers:
    """Balanced random centers, drawn one at a time; the allowed distance falls when none is found.

    Shuffled by sorting raw output, which NumPy keeps the same in all versions; a Generator's methods may change.
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
