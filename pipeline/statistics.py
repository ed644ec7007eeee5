"""Statistical tests of the difference between two sets of results over seeds."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Smallest number of seeds for which an effect size is computed and a p-value gets a star.
FEWEST = 3


@dataclass(frozen=True)
class Comparison:
    """The comparison of a variant with its baseline.

    Attributes:
        p_value: p-value of the two-sided t-test; None if no test is possible, for the reason in ``note``.
        mean_difference: mean of the variant minus mean of the baseline, in the metric's units.
        relative_improvement: the mean difference in percent of the baseline's mean; None if the baseline's mean
            isn't above zero, because the percentage would be meaningless.
        interval: 95% confidence interval of the mean difference, from the test's t distribution; None if no test
            is possible.
        effect_size: the mean difference in standard deviations: of the differences if paired (Cohen's d_z), of
            both sides pooled otherwise (Cohen's d). None if no test is possible, or for fewer than three seeds,
            whose standard deviation is unreliable. Results vary little over seeds on one data set, so values well
            above 0.8, which is called large elsewhere, are common.
        note: the reason for a missing p-value; empty if the p-value is not None.
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
        baseline: one number per seed.
        variant: one number per seed; in the baseline's order of seeds if ``paired``.
        paired: use a paired t-test, which compares seed by seed (both share split and initial weights);
            otherwise Welch's t-test, which doesn't assume equal variances.

    Returns:
        the test of variant minus baseline, with its interval and effect size; ``note`` says why a value is missing.

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
    """Adjust the p-values of several tests by Holm's method, which controls the family-wise error rate.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.

    Args:
        p_values: one per test; None if no test was possible. None is not counted as a test.

    Returns:
        the adjusted values in the same order, at most 1; None stays None.

    Raises:
        ValueError: a p-value is NaN or not from 0 to 1.

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


def sign_test(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of the sign test: whether differences are positive as often as negative. Zeros are left out.

    Args:
        differences: one number for each comparison.

    Returns:
        the p-value, or None if no difference is other than zero.

    Examples:
        >>> round(sign_test([0.1, 0.2, 0.1, 0.3, 0.1, -0.1]), 4)
        0.2188
    """
    from scipy.stats import binomtest

    above, below = (sum(sign * value > 0 for value in differences) for sign in (1, -1))
    return float(binomtest(above, above + below).pvalue) if above + below else None


def average_improvement(baseline: Sequence[float], variant: Sequence[float]) -> float | None:
    """The WR paper's average improvement over code lengths (Table 1's last columns), in percent.

    It is the improvement of the average: 100 (mean variant - mean baseline) / mean baseline. This formula reproduces
    all twelve published numbers from the published mAP to the last digit. The mean of each length's improvement
    doesn't (dch, adsh and dpah differ by 0.01 or 0.02).

    Args:
        baseline: a mean for each code length.
        variant: a mean for each of the same code lengths.

    Returns:
        The improvement in percent; None if the baseline's average isn't above 0.

    Raises:
        ValueError: no numbers, different numbers of code lengths, or a number that isn't finite.

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
    # A spread at the level of rounding errors counts as no variance: t would be huge and meaningless.
    scale = 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-300)
    spreads = [(b - a).std()] if paired else [a.std(), b.std()]
    if max(spreads) <= scale:
        return None, None, "no variance"
    from scipy import stats

    with warnings.catch_warnings():
        # If one side is constant, SciPy warns of lost precision, but the p-value is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
        between = test.confidence_interval(0.95)
    p = float(test.pvalue)
    if not math.isfinite(p):
        return None, None, "no variance"
    return p, (float(between.low), float(between.high)), ""
