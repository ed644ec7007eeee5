"""Tests over seeds against SciPy, and the table of results that is made of them."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.aggregation.comparison import result_table
from pipeline.runtime.layout import Group
from pipeline.statistics import average_improvement, compare, holm
from tests.conftest import ROOT

BASELINE = [0.710, 0.722, 0.698, 0.731, 0.715]
VARIANT = [0.731, 0.735, 0.719, 0.730, 0.741]


def test_paired_is_scipys_paired_t_test() -> None:
    result = compare(BASELINE, VARIANT)
    assert result.p_value == pytest.approx(stats.ttest_rel(VARIANT, BASELINE).pvalue, rel=1e-12)
    assert result.note == ""


@pytest.mark.parametrize("variant", [VARIANT, VARIANT[:3], VARIANT + [0.6]])
def test_unpaired_is_welchs_t_test(variant: list[float]) -> None:
    result = compare(BASELINE, variant, paired=False)
    expected = stats.ttest_ind(variant, BASELINE, equal_var=False)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Precision loss")  # SciPy's, about the side that is constant
def test_unpaired_takes_one_side_without_a_spread() -> None:
    result = compare([0.7, 0.7, 0.7], VARIANT, paired=False)
    expected = stats.ttest_ind(VARIANT, [0.7, 0.7, 0.7], equal_var=False)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("paired", [True, False])
def test_a_better_variant_has_a_positive_difference(paired: bool) -> None:
    up, down = compare(BASELINE, VARIANT, paired=paired), compare(VARIANT, BASELINE, paired=paired)
    assert up.mean_difference == pytest.approx(np.mean(VARIANT) - np.mean(BASELINE))
    assert up.mean_difference > 0 > down.mean_difference
    assert down.mean_difference == pytest.approx(-up.mean_difference)
    assert up.p_value == pytest.approx(down.p_value)  # two-sided


def test_relative_improvement_is_in_percent_of_the_baseline() -> None:
    result = compare([0.5, 0.5], [0.5, 0.6])
    assert result.relative_improvement == pytest.approx(10)
    assert compare([0.5, 0.6], [0.5, 0.5]).relative_improvement == pytest.approx(-100 * 0.05 / 0.55)


def test_relative_improvement_on_a_baseline_of_zero_is_none() -> None:
    result = compare([0.0, 0.0], [0.1, 0.2])
    assert result.relative_improvement is None
    assert result.mean_difference == pytest.approx(0.15)


@pytest.mark.parametrize("paired", [True, False])
def test_one_seed_has_no_p_value(paired: bool) -> None:
    result = compare([0.7], [0.8], paired=paired)
    assert result.p_value is None
    assert result.note == "n < 2"
    assert result.mean_difference == pytest.approx(0.1)
    assert result.relative_improvement == pytest.approx(100 / 7)


def test_one_seed_on_one_side_has_no_p_value() -> None:
    assert compare(BASELINE, [0.8], paired=False).note == "n < 2"


@pytest.mark.parametrize("paired", [True, False])
def test_no_variance_has_no_p_value(paired: bool) -> None:
    result = compare([0.7, 0.7, 0.7], [0.8, 0.8, 0.8], paired=paired)
    assert result.p_value is None
    assert result.note == "no variance"
    assert compare(BASELINE, BASELINE).note == "no variance"


def test_a_spread_of_rounding_error_is_no_variance() -> None:
    """The differences are 0.1 but for the last bit, where SciPy's p-value would be about 1e-47."""
    baseline = [0.1, 0.2, 0.3, 0.7]
    result = compare(baseline, [value + 0.1 for value in baseline])
    assert len({value + 0.1 - value for value in baseline}) > 1
    assert result.p_value is None
    assert result.note == "no variance"


def test_paired_sequences_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="as many"):
        compare(BASELINE, VARIANT[:4])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float, paired: bool) -> None:
    for a, b in (([0.1, value], [0.1, 0.2]), ([0.1, 0.2], [value, 0.2])):
        with pytest.raises(ValueError, match="finite"):
            compare(a, b, paired=paired)


@pytest.mark.parametrize("paired", [True, False])
def test_empty_sequences_are_refused(paired: bool) -> None:
    with pytest.raises(ValueError, match="at least one"):
        compare([], [], paired=paired)


# The table of results.


def frame(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["method", "quantizer", "bits", "seed", "map"])


def cells(quantizer: str, values: list[float], method: str = "dsdh", bits: int = 16) -> list[Any]:
    return [(method, quantizer, bits, seed, value) for seed, value in enumerate(values)]


def row_of(table: pd.DataFrame, quantizer: str, method: str = "dsdh", bits: int = 16) -> dict[str, Any]:
    found = table[(table["method"] == method) & (table["quantizer"] == quantizer) & (table["bits"] == bits)]
    assert len(found) == 1
    return dict(found.iloc[0])


def test_table_has_mean_and_sample_deviation() -> None:
    table = result_table(frame(*cells("original", BASELINE), *cells("wr", VARIANT)), ["map"], paired=True)
    row = row_of(table, "wr")
    assert row["n"] == 5
    assert row["map_mean"] == pytest.approx(np.mean(VARIANT))
    assert row["map_std"] == pytest.approx(np.std(VARIANT, ddof=1))


@pytest.mark.parametrize("paired", [True, False])
def test_table_tests_against_original(paired: bool) -> None:
    table = result_table(frame(*cells("original", BASELINE), *cells("wr", VARIANT)), ["map"], paired=paired)
    row, expected = row_of(table, "wr"), compare(BASELINE, VARIANT, paired=paired)
    assert row["map_p_value"] == pytest.approx(expected.p_value)
    assert row["map_difference"] == pytest.approx(expected.mean_difference)
    assert row["map_improvement_percent"] == pytest.approx(expected.relative_improvement)
    assert row["map_note"] == ""


def test_table_pairs_by_seed_whatever_the_order_of_rows() -> None:
    rows = [*cells("original", BASELINE), *cells("wr", VARIANT)]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    row = row_of(result_table(frame(*shuffled), ["map"], paired=True), "wr")
    assert row["map_p_value"] == pytest.approx(stats.ttest_rel(VARIANT, BASELINE).pvalue)


def test_table_compares_within_method_and_bits_only() -> None:
    other = [value - 0.3 for value in BASELINE]
    rows = [
        *cells("original", BASELINE),
        *cells("wr", VARIANT),
        *cells("original", other, method="csq"),
        *cells("wr", VARIANT, method="csq"),
        *cells("original", other, bits=32),
        *cells("wr", VARIANT, bits=32),
    ]
    table = result_table(frame(*rows), ["map"], paired=True)
    assert len(table) == 6
    difference = np.mean(VARIANT) - np.mean(BASELINE)
    assert row_of(table, "wr")["map_difference"] == pytest.approx(difference)
    assert row_of(table, "wr", method="csq")["map_difference"] == pytest.approx(difference + 0.3)
    assert row_of(table, "wr", bits=32)["map_difference"] == pytest.approx(difference + 0.3)


def test_table_notes_the_baseline() -> None:
    table = result_table(frame(*cells("original", BASELINE), *cells("wr", VARIANT)), ["map"], paired=True)
    row = row_of(table, "original")
    assert row["map_note"] == "baseline"
    assert row["map_mean"] == pytest.approx(np.mean(BASELINE))
    for name in ("map_difference", "map_improvement_percent", "map_p_value"):
        assert pd.isna(row[name])


def test_table_notes_a_grid_without_the_baseline() -> None:
    rows = [*cells("wr", VARIANT), *cells("original", BASELINE, method="csq")]
    row = row_of(result_table(frame(*rows), ["map"], paired=True), "wr")
    assert row["map_note"] == "original is not in the grid"
    assert pd.isna(row["map_p_value"])
    assert row["map_mean"] == pytest.approx(np.mean(VARIANT))


@pytest.mark.parametrize("missing_of", ["original", "wr"])
def test_table_pairs_the_seeds_that_both_have(missing_of: str) -> None:
    rows = [*cells("original", BASELINE), *cells("wr", VARIANT)]
    rows = [row for row in rows if (row[1], row[3]) != (missing_of, 2)]
    row = row_of(result_table(frame(*rows), ["map"], paired=True), "wr")
    a, b = BASELINE[:2] + BASELINE[3:], VARIANT[:2] + VARIANT[3:]
    assert row["n"] == (4 if missing_of == "wr" else 5)
    assert row["map_p_value"] == pytest.approx(stats.ttest_rel(b, a).pvalue)
    assert row["map_difference"] == pytest.approx(np.mean(b) - np.mean(a))


def test_table_of_one_common_seed_says_why_there_is_no_test() -> None:
    rows = [*cells("original", BASELINE[:1]), *cells("wr", VARIANT)]
    row = row_of(result_table(frame(*rows), ["map"], paired=True), "wr")
    assert row["map_note"] == "n < 2"
    assert pd.isna(row["map_p_value"])
    assert row["map_difference"] == pytest.approx(VARIANT[0] - BASELINE[0])


def test_table_without_a_common_seed_says_why_there_is_no_test() -> None:
    rows = [*cells("original", BASELINE[:1]), ("dsdh", "wr", 16, 1, 0.8)]
    row = row_of(result_table(frame(*rows), ["map"], paired=True), "wr")
    assert pd.isna(row["map_p_value"])
    assert row["map_note"]


def test_table_has_every_metric() -> None:
    table = frame(*cells("original", BASELINE), *cells("wr", VARIANT))
    table["precision@10"] = table["map"] / 2
    row = row_of(result_table(table, ["map", "precision@10"], paired=True), "wr")
    assert row["precision@10_difference"] == pytest.approx(row["map_difference"] / 2)
    assert row["precision@10_improvement_percent"] == pytest.approx(row["map_improvement_percent"])
    assert row["precision@10_p_value"] == pytest.approx(row["map_p_value"])


def test_table_keeps_the_order_of_the_grid() -> None:
    rows = [*cells("wr", VARIANT), *cells("original", BASELINE), *cells("wr", VARIANT, method="csq")]
    table = result_table(frame(*rows), ["map"], paired=True)
    assert table["quantizer"].tolist() == ["wr", "original", "wr"]
    assert table["method"].tolist() == ["dsdh", "dsdh", "csq"]


# Intervals, sizes of effects, several tests at once, averages over code lengths.


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_is_the_tests_own(paired: bool) -> None:
    """The 95% interval ends at 0 where p is 0.05: shifting one side by either end makes it so."""
    result = compare(BASELINE, VARIANT, paired=paired)
    assert result.interval is not None
    low, high = result.interval
    assert low < result.mean_difference < high
    for end in (low, high):
        moved = compare(BASELINE, [value - end for value in VARIANT], paired=paired)
        assert moved.p_value == pytest.approx(0.05, abs=1e-9)


def test_the_effect_is_in_standard_deviations() -> None:
    differences = np.subtract(VARIANT, BASELINE)
    assert compare(BASELINE, VARIANT).effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    pooled = math.sqrt((np.var(BASELINE, ddof=1) + np.var(VARIANT, ddof=1)) / 2)
    assert compare(BASELINE, VARIANT, paired=False).effect_size == pytest.approx(differences.mean() / pooled)


def test_without_a_test_there_is_neither_interval_nor_effect() -> None:
    for baseline, variant in (([0.5], [0.6]), ([0.5, 0.6], [0.6, 0.7])):
        result = compare(baseline, variant)
        assert (result.interval, result.effect_size) == (None, None) and result.note


def test_holm_is_the_textbooks() -> None:
    # 4 tests: 4 x 0.01, 3 x 0.02, then 2 x 0.03 and 1 x 0.04, none below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


def test_average_improvements_are_the_published_ones() -> None:
    published = pd.read_csv(ROOT / "published" / "results.csv")
    table = published[published["table"] == "wr-table1"]
    printed = pd.read_csv(ROOT / "published" / "wr-table1-average-improvement.csv")
    assert len(printed) == 12
    for row in printed.itertuples():
        cells = table[(table["method"] == row.method) & (table["dataset"] == row.dataset)]
        sides = [cells[cells["quantizer"] == q].sort_values("bits")["value"].tolist() for q in ("original", "wr")]
        improvement = average_improvement(*sides)
        assert improvement is not None
        assert round(improvement, 2) == row.average_improvement_percent


def test_average_improvement_wants_as_many_on_both_sides() -> None:
    for wrong in (([], []), ([0.5], [0.5, 0.6])):
        with pytest.raises(ValueError, match="one number a code length"):
            average_improvement(*wrong)
    assert average_improvement([0.0], [0.5]) is None


def test_nan_is_refused_rather_than_spread() -> None:
    for wrong in (([0.5, math.nan], [0.5, 0.6]), ([0.5, 0.6], [math.inf, 0.6])):
        with pytest.raises(ValueError, match="must be finite"):
            average_improvement(*wrong)
    for p in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            holm([0.01, None, p])


def test_a_missing_seed_is_said_beside_the_test() -> None:
    rows = [*cells("original", BASELINE), *cells("wr", VARIANT)[1:]]
    row = row_of(result_table(frame(*rows), ["map"], paired=True), "wr")
    assert row["map_note"] == f"over {len(VARIANT) - 1} common seeds"
    expected = [b - a for a, b in zip(BASELINE[1:], VARIANT[1:], strict=True)]
    assert row["map_difference"] == pytest.approx(sum(expected) / len(expected))


def test_a_missing_baseline_is_told_from_one_that_is_not_in_the_grid() -> None:
    groups = {Group("dsdh", "original", 16): "train: the loss is nan", Group("dsdh", "wr", 16): ""}
    table = result_table(frame(*cells("wr", VARIANT)), ["map"], paired=True, groups=groups)
    assert row_of(table, "original")["map_note"] == "missing: train: the loss is nan"
    assert row_of(table, "wr")["map_note"] == "original is missing"


def test_two_seeds_give_no_effect_size() -> None:
    found = compare([0.5, 0.6], [0.52, 0.6205])
    assert found.p_value is not None and found.effect_size is None
    assert compare([0.5, 0.6, 0.7], [0.52, 0.6205, 0.71]).effect_size is not None
    assert compare([0.5, 0.6], [0.52, 0.6205, 0.7], paired=False).effect_size is None
