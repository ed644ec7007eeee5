"""Balance, independence and compactness of a set of codes, which the quantizers of both papers aim to improve."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.codes import pack
from pipeline.runtime.errors import UserError


@dataclass(frozen=True, eq=False)
class Balance:
    """Measures of n codes of K bits, -1/+1.

    Attributes:
        bit_means: (K,) float64 in [-1, 1]; 0 if a bit is +1 as often as -1.
        bit_imbalance: the mean over bits of |bit mean|, 0 to 1.
        dead_bits: the number of bits that have the same value in all codes.
        bit_correlation: the mean over pairs of bits of |Pearson's correlation|, 0 to 1. Dead bits have no
            correlation and are left out; None if fewer than two other bits remain.
        code_entropy: entropy of the distribution of codes, in bits. It is 0 if all codes are equal, and at most
            min(K, log2 n); n uniform random codes come close to this maximum.
        distinct_codes: the number of different codes.
        collision_rate: the fraction of the n(n - 1)/2 pairs of items that share a code; 0 if n is 1. Collisions
            within a class are intended at first, but at a rate of 1 the items can't be ranked.
    """

    bit_means: npt.NDArray[np.float64]
    bit_imbalance: float
    dead_bits: int
    bit_correlation: float | None
    code_entropy: float
    distinct_codes: int
    collision_rate: float

    def numbers(self) -> dict[str, float | int | None]:
        """The measures by name, without the vector."""
        return {name: value for name, value in vars(self).items() if name != "bit_means"}


def balance(codes: npt.NDArray[Any]) -> Balance:
    """Measure a set of codes.

    The two conditions of classical code balance (Weiss, Torralba & Fergus, NIPS 2008; section 3 of the WR
    paper) are ``bit_imbalance`` = 0 and ``bit_correlation`` = 0. Uniform codes, which WR and HSWD aim at, meet
    both. The measures are diagnostics and not goals: codes that retrieve well follow the classes, so with C
    classes a perfect method has as few as C distinct codes, whose bits can't all be independent.

    Args:
        codes: (n, K) of -1/+1 or bool, n at least 1.

    Raises:
        UserError: a wrong shape or value, or no codes.

    Examples:
        >>> import numpy as np
        >>> found = balance(np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]))
        >>> found.bit_imbalance, found.distinct_codes
        (0.0, 4)
    """
    packed = pack(codes)
    n = len(packed)
    if n == 0:
        raise UserError(f"codes: expected at least one row, found shape {np.shape(codes)}")
    # Sums of bits and of products are exact integers. The comparison works for both bool and -1/+1.
    bits = np.where(np.asarray(codes) > 0, np.float32(1), np.float32(-1))
    means = bits.sum(axis=0, dtype=np.float64) / n
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, counts = np.unique(rows, return_counts=True)
    shares = counts / n
    return Balance(
        bit_means=means,
        bit_imbalance=float(np.abs(means).mean()),
        dead_bits=int((np.abs(means) == 1).sum()),
        bit_correlation=_correlation(bits, means),
        # + 0.0 turns -0.0 into 0.0.
        code_entropy=float(-(shares * np.log2(shares)).sum() + 0.0),
        distinct_codes=len(counts),
        collision_rate=float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else 0.0,
    )


def _correlation(bits: npt.NDArray[np.float32], means: npt.NDArray[np.float64]) -> float | None:
    """Mean |correlation| over pairs of bits that vary."""
    alive = np.abs(means) < 1
    count = int(alive.sum())
    if count < 2:
        return None
    products = _products(bits[:, alive]) / len(bits)
    # A bit of -1/+1 with mean m has the variance 1 - m^2.
    deviations = np.sqrt(1 - means[alive] ** 2)
    correlation = np.abs(products - np.outer(means[alive], means[alive])) / np.outer(deviations, deviations)
    np.fill_diagonal(correlation, 0)
    return math.fsum(correlation.ravel()) / (count * (count - 1))


def _products(bits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """H^T H; float32 sums of -1/+1 are exact up to 2^24."""
    step = 1 << 24
    total = np.zeros((bits.shape[1], bits.shape[1]))
    for start in range(0, len(bits), step):
        part = bits[start : start + step]
        total += part.T @ part
    return total
