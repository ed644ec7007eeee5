"""Is a difference between two methods real? Tests over seeds."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Seeds from which on a deviation is worth a number, and a p-value a star.
FEWEST = 3


@dataclass(frozen=True)
class Comparison:
    """A variant against its baseline.

    Attributes:
        p_value: of the two-sided t-test; None where no test is possible, for the reason in ``note``.
        mean_difference: mean of the variant minus mean of the baseline, in the metric's units.
        relative_improvement: that difference in percent of the baseline's mean; None where that mean isn't
            above zero, since a percentage of it would say nothing.
        interval: 95% confidence interval of the mean difference, from the test's t distribution; None where no
            test is possible.
        effect_size: the mean difference in standard deviations: of the differences where paired (Cohen's d_z),
            of both sides pooled otherwise (Cohen's d); None where no test is possible, and below three seeds,
            whose deviation says next to nothing. Seeds vary little on one data set, so values well above the 0.8
            that is called large elsewhere are common.
        note: why there is no p-value; empty where there is one.
    """

    p_value: float | None
    mean_difference: float
    relative_improvement: float | None
    interval: tuple[float, float] | None
    effect_size: float | None
    note: str


def compare(baseline: Sequence[float], variant: Sequence[float], *, paired: bool = True) -> Comparison:
    """Compare two sets of results over seeds.

    Args:
        baseline: one number a seed.
        variant: one number a seed; in the baseline's order of seeds where ``paired``.
        paired: a paired t-test, which compares seed by seed (both share split and initial weights);
            otherwise Welch's, which doesn't assume equal variances.

    Raises:
        ValueError: no numbers, a number that isn't finite, or paired sequences of different lengths.

    Examples:
        >>> found = compare([0.70, 0.72, 0.71, 0.69, 0.73], [0.72, 0.73, 0.73, 0.70, 0.75])
        >>> round(found.mean_difference, 4), round(found.p_value, 4)
        (0.016, 0.0028)
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
    p_value, interval, note = _test(a, b, paired)
    effect = None if note or min(len(a), len(b)) < FEWEST else difference / _deviation(a, b, paired)
    return Comparison(p_value, difference, relative, interval, effect, note)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values of several tests, adjusted so that the chance of any false finding among them stays at the level.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.

    Args:
        p_values: one a test; None where no test was possible, which isn't counted.

    Returns:
        the adjusted values in the same order, at most 1; None stays None.

    Raises:
        ValueError: a p-value that isn't from 0 to 1; NaN, which has no place in an order, isn't.

    Examples:
        >>> holm([0.01, 0.04, None, 0.02])
        [0.03, 0.04, None, 0.04]
    """
    if wrong := [p for p in p_values if p is not None and not 0 <= p <= 1]:
        raise ValueError(f"p-values must be from 0 to 1 or None, not {wrong[0]}")
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


def average_improvement(baseline: Sequence[float], variant: Sequence[float]) -> float | None:
    """The WR paper's average improvement over code lengths (Table 1's last columns), in percent.

    It is the improvement of the average: 100 (mean variant - mean baseline) / mean baseline. That gives all twelve
    published numbers from the published mAP to the last digit; the mean of each length's improvement doesn't
    (dch, adsh and dpah differ by 0.01 or 0.02).

    Args:
        baseline: a mean for each code length.
        variant: a mean for each of the same code lengths.

    Returns:
        None where the baseline's average isn't above 0.

    Raises:
        ValueError: no numbers, another number of them on the two sides, or one that isn't finite.

    Examples:
        >>> round(average_improvement([0.50, 0.70], [0.55, 0.71]), 2)
        5.0
    """
    if not len(baseline) or len(baseline) != len(variant):
        raise ValueError(f"one number a code length on both sides, found {len(baseline)} and {len(variant)}")
    if not (np.isfinite(baseline).all() and np.isfinite(variant).all()):
        raise ValueError("baseline and variant must be finite; leave a code length without a number out of both")
    mean = float(np.mean(baseline))
    return 100 * (float(np.mean(variant)) - mean) / mean if mean > 0 else None


def _deviation(a: np.ndarray, b: np.ndarray, paired: bool) -> float:
    if paired:
        return float((b - a).std(ddof=1))
    weights = np.array([len(a) - 1, len(b) - 1])
    return float(np.sqrt((weights * [a.var(ddof=1), b.var(ddof=1)]).sum() / weights.sum()))


def _test(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[float | None, tuple[float, float] | None, str]:
    if min(len(a), len(b)) < 2:
        return None, None, "n < 2"
    # A spread of rounding error is no spread: t would be huge and mean nothing.
    scale = 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-300)
    spreads = [(b - a).std()] if paired else [a.std(), b.std()]
    if max(spreads) <= scale:
        return None, None, "no variance"
    from scipy import stats

    with warnings.catch_warnings():
        # One constant side makes SciPy warn of lost precision; the p-value is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
        between = test.confidence_interval(0.95)
    p = float(test.pvalue)
    if not math.isfinite(p):
        return None, None, "no variance"
    return p, (float(between.low), float(between.high)), ""
