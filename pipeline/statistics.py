"""Is a difference between two methods real? Tests over seeds."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """A variant against its baseline.

    Attributes:
        p_value: of the two-sided t-test; None where no test is possible, for the reason in ``note``.
        mean_difference: mean of the variant minus mean of the baseline, in the metric's units.
        relative_improvement: that difference in percent of the baseline's mean; None where that mean isn't
            above zero, since a percentage of it would say nothing.
        note: why there is no p-value; empty where there is one.
    """

    p_value: float | None
    mean_difference: float
    relative_improvement: float | None
    note: str


def compare(baseline: Sequence[float], variant: Sequence[float], *, paired: bool = True) -> Comparison:
    """Compare two sets of results over seeds.

    Args:
        baseline, variant: one number a seed; in the same order of seeds where ``paired``.
        paired: a paired t-test, which compares seed by seed (both share split and initial weights);
            otherwise Welch's, which doesn't assume equal variances.

    Raises:
        ValueError: no numbers, a number that isn't finite, or paired sequences of different lengths.
    """
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 1 or not len(a) or not len(b):
        raise ValueError("baseline and variant must each be a sequence of at least one number")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("baseline and variant must be finite")
    if paired and len(a) != len(b):
        raise ValueError(f"a paired test needs as many variants as baselines: {len(b)} and {len(a)}")
    difference = float(b.mean() - a.mean())
    relative = 100 * difference / float(a.mean()) if a.mean() > 0 else None
    p_value, note = _test(a, b, paired)
    return Comparison(p_value, difference, relative, note)


def _test(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[float | None, str]:
    if min(len(a), len(b)) < 2:
        return None, "n < 2"
    # A spread of rounding error is no spread: t would be huge and mean nothing.
    scale = 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-300)
    spreads = [(b - a).std()] if paired else [a.std(), b.std()]
    if max(spreads) <= scale:
        return None, "no variance"
    from scipy import stats

    with warnings.catch_warnings():
        # One constant side makes SciPy warn of lost precision; the p-value is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
    p = float(test.pvalue)
    return (p, "") if math.isfinite(p) else (None, "no variance")
