"""The summary of comparisons: counts, tests and tie bounds against the rows of results.csv."""

from pathlib import Path
from typing import Any

import pandas
import pytest
from scipy.stats import binomtest

from pipeline.report.figures import improvement
from pipeline.report.published.counterparts import pairs
from pipeline.report.source import read
from tests.report.making import beside, network, put, shown, tables_of
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


def test_improvements_are_drawn_with_intervals_beside_the_published_ones(tmp_path: Path) -> None:
    setting = {"dataset": "cifar10", **beside("cifar10", "hswd-table5"), **network("hswd-table5")}
    source = read(build_tables(tmp_path / "tables", bits=(16, 32), **setting))
    (group,) = improvement.groups(source)
    (draft,) = group.drafts
    results = source.results[(source.results["method"] == "dsdh") & (source.results["quantizer"] == "swd")]
    axes = next(axes for axes in draft.figure.axes if axes.get_title() == "dsdh")
    drawn = {tuple(round(float(y), 6) for y in line.get_ydata()) for line in axes.lines}
    means = tuple(round(float(row), 6) for row in results["map_improvement_percent"])
    assert means in drawn
    printed = [
        pair.improvements[0]
        for pair in pairs(source)
        if (pair.published.method, pair.published.quantizer) == ("dsdh", "swd")
    ]
    assert tuple(round(value, 6) for value in printed[:2] if value is not None) in drawn
    low, high = ([float(value) for value in results[f"map_{end}"]] for end in ("low", "high"))
    base = [float(row["map_mean"]) - float(row["map_difference"]) for row in results.to_dict("records")]
    bars = [segment[:, 1] for one in axes.collections for segment in one.get_segments()]  # type: ignore[attr-defined]
    for place in range(2):
        expected = [100 * low[place] / base[place], 100 * high[place] / base[place]]
        assert any(bar.tolist() == pytest.approx(expected) for bar in bars)


def test_improvements_are_drawn_only_beside_published_tables(tmp_path: Path) -> None:
    assert not list(improvement.groups(read(build_tables(tmp_path / "tables"))))
