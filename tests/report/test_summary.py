"""The summary of comparisons: counts, tests and tie bounds against the rows of results.csv."""

from pathlib import Path
from typing import Any

import pandas
import pytest
from scipy.stats import binomtest

from tests.report.making import put, shown, tables_of
from tests.report.test_tables import build_tables


def row(quantizer: str, bits: int, difference: float | None, p: float, holm: float, **more: Any) -> dict[str, Any]:
    return {
        "method": "csq", "quantizer": quantizer, "bits": bits, "n": 5, "map_mean": 0.5 + (difference or 0),
        "map_std": 0.01, "map_difference": difference, "map_p_value": p, "map_p_holm": holm, "map_effect_size": 1.0,
        "map_improvement_percent": None if difference is None else 200 * difference, "map_note": "",
        "map_pessimistic_mean": 0.45 + (difference or 0), "map_optimistic_mean": 0.55 + (difference or 0), **more,
    }  # fmt: skip


def test_comparisons_are_counted_by_quantizer(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    differences = {16: 0.2, 32: 0.01, 48: -0.02, 64: 0.03, 96: 0.04}
    rows = [row("original", bits, None, 1, 1, map_note="baseline") for bits in differences]
    rows += [row("wr", bits, value, 0.04 if bits <= 48 else 0.5, 0.001 if bits == 16 else 0.2)
             for bits, value in differences.items()]  # fmt: skip
    rows += [row("swd", 16, 0.0, 0.9, 1.0)]
    put(folder, "results", rows)
    found = tables_of(folder)["summary"]
    p = binomtest(4, 5).pvalue
    assert shown(found) == [
        ["wr", "5", "4", "1", "+0.0520", "+6.00", "2", "1", "1", "0", "1", f"{p:.3g}"],
        ["swd", "1", "0", "0", "0.0000", "0.00", "0", "0", "0", "0", "0", "n/a"],
    ]
    assert "over all methods and code lengths" in " ".join(found.caption)


def test_a_study_of_the_baseline_alone_has_no_summary(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    results = pandas.read_csv(folder / "results.csv")
    results[results["quantizer"] == "original"].to_csv(folder / "results.csv", index=False)
    assert "summary" not in tables_of(folder)


@pytest.mark.parametrize("differences", [[0.1] * 5, [0.1, -0.1, 0.0], [-1.0, -2.0, 3.0]])
def test_sign_test_is_scipys(differences: list[float]) -> None:
    from pipeline.statistics import sign_test

    above, below = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    assert sign_test(differences) == pytest.approx(binomtest(above, above + below).pvalue)
    assert sign_test([0.0]) is None
