"""Average precision and the number found at each rank, from counts of items at each Hamming distance.

The items at one distance from a query are a tie block. Throughout, a block has ``n`` items of which ``r`` are
relevant, and ``N`` items of which ``R`` are relevant come before it.

Source: F. McSherry and M. Najork, "Computing information retrieval performance measures efficiently in the
presence of tied scores", ECIR 2008.
"""

import math

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.counting import Counts

Floats = npt.NDArray[np.float64]


def harmonic_numbers(size: int) -> Floats:
    """The sums of 1/i for i from 1 to j, for j from 0 to ``size``: float64 (``size`` + 1,)."""
    table = np.zeros(size + 1, np.float64)
    table[1:] = np.arange(1, size + 1)
    np.divide(1.0, table[1:], out=table[1:])
    return np.cumsum(table, out=table)


def average_precision(total: Counts, relevant: Counts, top_k: int, ties: str, harmonic: Floats) -> Floats:
    """Average precision of the first ``top_k`` items of each query.

    Args:
        total: (queries, K + 1), items at each distance; each row adds up to the database size.
        relevant: (queries, K + 1), the relevant ones among them.
        top_k: The number of items retrieved, from 1 to the database size.
        ties: "expected", "optimistic" or "pessimistic".
        harmonic: ``harmonic_numbers`` of the database size.

    Returns:
        (queries,) float64 in [0, 1]; 0 where no relevant item is retrieved.
    """
    before = np.cumsum(total, axis=1) - total
    taken = np.clip(top_k - before, 0, total)
    if ties == "expected":
        # The number of relevant items in a cut block is random, so the block is left out here and added below.
        found = np.where(taken == total, relevant, 0)
    else:
        found = _found(total, relevant, taken, ties)
    found_before = np.cumsum(found, axis=1) - found
    sums = _precision_sums(taken, found, before, found_before, ties, harmonic).sum(axis=1)
    found_sum = found.sum(axis=1)
    scores: Floats = np.divide(sums, found_sum, out=np.zeros_like(sums), where=found_sum > 0)
    if ties == "expected":
        for query, block in zip(*np.nonzero((taken > 0) & (taken < total)), strict=True):
            n, r, m, N = (int(counts[query, block]) for counts in (total, relevant, taken, before))
            scores[query] = _cut(n, r, m, N, int(found_sum[query]), float(sums[query]), harmonic)
    return scores


def found_at(total: Counts, relevant: Counts, ranks: Counts, ties: str) -> Floats:
    """The number of relevant items up to each rank, for each query.

    Under "expected", a block cut after m items contributes m * r / n relevant items.

    Args:
        total: (queries, K + 1), items at each distance; each row adds up to the database size.
        relevant: (queries, K + 1), the relevant ones among them.
        ranks: (R,), from 1 to the database size.
        ties: "expected", "optimistic" or "pessimistic".

    Returns:
        (queries, R) float64.
    """
    # The number found is piecewise linear in the rank: the ranks where its slope changes, and its values there.
    ends, found = (_from_zero(np.cumsum(counts, axis=1)) for counts in (total, relevant))
    if ties != "expected":
        # A block consists of relevant items, slope 1, and other items, slope 0; ``ties`` determines which come first.
        first = relevant if ties == "optimistic" else total - relevant
        middle = found[:, 1:] if ties == "optimistic" else found[:, :-1]
        ends = _from_zero(_alternating(ends[:, :-1] + first, ends[:, 1:]))
        found = _from_zero(_alternating(middle, found[:, 1:]))
    return np.stack([np.interp(ranks, x, y) for x, y in zip(ends, found, strict=True)])


def _from_zero(counts: Counts) -> Counts:
    return np.pad(counts, ((0, 0), (1, 0)))


def _alternating(odd: Counts, even: Counts) -> Counts:
    return np.stack([odd, even], axis=2).reshape(len(odd), -1)


def _found(total: Counts, relevant: Counts, taken: Counts, ties: str) -> Counts:
    """Relevant items among the first ``taken`` of each block, if they come first or last in the block."""
    if ties == "optimistic":
        return np.minimum(relevant, taken)
    return np.maximum(0, taken - (total - relevant))


def _precision_sums(n: Counts, r: Counts, N: Counts, R: Counts, ties: str, harmonic: Floats) -> Floats:
    """For each block, the sum over its relevant items of the precision at their ranks, or its expectation.

    With relevant items at random ranks, the one at rank N + i has on average R + 1 + (i - 1) * rho relevant
    items up to and with it, where rho = (r - 1) / (n - 1); each i from 1 to n is relevant with probability
    r / n. For n = 1 any rho gives the same sum; rho = 1 avoids rounding if all items are relevant.
    """
    if ties == "expected":
        rho = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 1.0)
        mean = rho * n + (R + 1 - rho * (N + 1)) * (harmonic[N + n] - harmonic[N])
        return np.asarray(r / np.maximum(n, 1) * mean, np.float64)
    # Consecutive relevant items: the sum of (R + j) / (first + j) for j from 1 to r.
    first = N if ties == "optimistic" else N + n - r
    return np.asarray(r + (R - first) * (harmonic[first + r] - harmonic[first]), np.float64)


def _cut(n: int, r: int, m: int, N: int, R: int, S: float, harmonic: Floats) -> float:
    """The expected average precision when the last block is cut after m of its n items.

    The number x of relevant items among the m is hypergeometric, and given x their ranks are uniform, so the
    m items are a whole block with x relevant ones. S is the sum of precisions before the block.
    """
    # Farther than this from the mean m * r / n, the probability is below exp(-800), 0 in float64 (Hoeffding).
    reach = 20 * math.isqrt(m) + 21
    x = np.arange(max(0, m - (n - r), m * r // n - reach), min(m, r, m * r // n + reach) + 1, dtype=np.int64)
    y = x[:-1]
    # Ratios of P(x + 1) to P(x): unlike differences of log factorials, they lose no digits if n is large.
    ratios = ((r - y) * (m - y)) / ((y + 1) * (n - r - m + y + 1))
    log_weight = np.concatenate(([0.0], np.cumsum(np.log(ratios))))
    weight = np.exp(log_weight - log_weight.max())
    same = np.ones_like(x)
    sums = S + _precision_sums(m * same, x, N * same, R * same, "expected", harmonic)
    scores = np.divide(sums, R + x, out=np.zeros_like(sums), where=R + x > 0)
    return float((weight * scores).sum() / weight.sum())
