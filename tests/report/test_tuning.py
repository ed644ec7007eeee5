"""Tuning, timing, batch sizes and missing cells as tables, and the tuning's budget in captions."""

from pathlib import Path

import pandas
import pytest

from pipeline.report.source import read
from pipeline.report.tables.captions import tuning_caption
from tests.report.making import batched, beside, edit_about, lose, put, shown, tables_of, timed, tuned
from tests.report.test_tables import build_tables


def test_tuning_shows_the_chosen_beside_best_second_and_worst(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    tuned(folder)
    found = tables_of(folder)
    assert shown(found["tuning"]) == [
        [method, quantizer, "16", "weight=3e-1", "", "0.7200", "0.7200", second, "0.7000", "2", "3", failed]
        for method in ("dsdh", "csq")
        for quantizer, second, failed in (("original", "0.7100", "0"), ("wr", "0.7000", "1"))
    ]
    chosen = found["tuning"].rows[0][5]
    assert chosen.data == "0.720000001" and chosen.spread and chosen.spread.data == "0.004"
    assert len(found["tuning-curve"].rows) == 12
    failed_row = found["tuning-curve"].rows[4]
    assert failed_row[5].text == "n/a" and failed_row[5].note == "no value"
    assert [row[-1].text for row in found["tuning-curve"].rows[:3]] == ["no", "no", "yes"]


@pytest.mark.parametrize(
    ("tried", "chosen", "said"),
    [
        ([0.1, 0.2, 0.3], 2, "weight (most)"),
        ([0.1, 0.2, 0.3], 1, ""),
        ([0.1, 0.2, 0.3], 0, "weight (least)"),
        ([0.1, 0.2, 0.2], 2, ""),  # of two values, one is always at an end
    ],
)
def test_a_choice_at_an_end_of_the_tried_values_is_marked(
    tried: list[float], chosen: int, said: str, tmp_path: Path
) -> None:
    folder = build_tables(tmp_path / "tables")
    tuned(folder)
    tuning = pandas.read_csv(folder / "tuning.csv")
    tuning["weight"] = [tried[trial] for trial in tuning["trial"]]
    tuning["chosen"] = ["yes" if trial == chosen else "no" for trial in tuning["trial"]]
    tuning.to_csv(folder / "tuning.csv", index=False)
    assert {row[4].text for row in tables_of(folder)["tuning"].rows} == {said}


def test_tuning_without_a_choice_says_so(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    tuned(folder)
    tuning = pandas.read_csv(folder / "tuning.csv")
    tuning["chosen"], tuning["validation_map_mean"] = "no", None
    tuning.to_csv(folder / "tuning.csv", index=False)
    for row in tables_of(folder)["tuning"].rows:
        assert row[3].text == "none" and row[5].note == "no setting was chosen"
        assert [value.text for value in row[6:10]] == ["n/a"] * 4 and row[-1].text == "3"


def test_captions_give_the_budget(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside())
    plain = "Not tuned: the weights are those of params.yaml."
    assert all(
        plain in tables_of(folder)[name].caption for name in ("results", "wr-table1", "hswd-table5", "comparison")
    )
    tuned(folder)
    said, unequal = tuning_caption(read(folder))
    assert said == (
        "Tuned on validation images, which include no query image of the study: 3 settings for every "
        "quantizer (wr: weight; original: learning_rate, own_weight), over 2 seeds (100, 101), none of them the "
        "study's."
    )
    assert unequal.startswith("The quantizers were tried with different learning rates")
    same = {"learning_rate": [0.001, 0.004]}
    equal = {"original": same, "wr": {**same, "weight": [0.1]}}
    edit_about(folder, tune={"seeds": [100], "settings": 2, "candidates": equal})
    assert len(tuning_caption(read(folder))) == 1
    tuned(folder)
    found = tables_of(folder)
    assert all(said in found[name].caption for name in ("results", "wr-table1", "hswd-table5", "comparison", "tuning"))
    edit_about(folder, tune={"seeds": [1, 100], "settings": 1, "candidates": {"none": {}}})
    assert (
        "1 setting for every quantizer (none: nothing), over 2 seeds (1, 100); also among the study's: 1."
        in (tuning_caption(read(folder))[0])
    )
    edit_about(folder, tune=None)
    assert tuning_caption(read(folder)) == [plain]


def test_timing(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    timed(folder)
    rows = tables_of(folder)["timing"].rows
    assert [value.text for value in rows[0]] == ["dsdh", "original", "16", "64", "3", "2.016", "n/a"]
    assert rows[0][6].note == "baseline" and rows[0][5].spread and rows[0][5].spread.text == "0.020"
    assert rows[2][6].text == "+5.0" and rows[2][6].data == "5.0"


def test_batch_sizes_are_compared_within_one(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    batched(folder)
    rows = {(row[1].text, row[3].text): row for row in tables_of(folder)["batch-size"].rows}
    assert [value.text for value in rows["wr", "64"][4:]] == ["0.8224", "2", "+0.0160", "+1.98"]
    assert [value.text for value in rows["wr", "128"][4:]] == ["0.8288", "2", "+0.0160", "+1.97"]
    assert [value.reason for value in rows["original", "64"][6:]] == ["baseline", "baseline"]
    sizes = pandas.read_csv(folder / "batch_size.csv")
    sizes[sizes["quantizer"] == "wr"].to_csv(folder / "batch_size.csv", index=False)
    assert {row[6].reason for row in tables_of(folder)["batch-size"].rows} == {"no original"}


def test_missing_cells_and_their_reasons(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", seeds=2)
    lose(folder, "dsdh", "wr", "train: the loss is nan in epoch 3; lower the learning rate", seeds=2)
    found = tables_of(folder)
    assert shown(found["missing"]) == [
        ["dsdh", "wr", "16", str(seed), "train: the loss is nan in epoch 3; lower the learning rate"] for seed in (0, 1)
    ]
    assert len(read(folder).missing) == 2
    row = next(row for row in found["results"].rows if row[1].text == "wr")
    assert row[3].text == "n/a" and row[3].note.startswith("train: the loss is nan")
    assert all(value.reason for value in row[3:] if value.text == "n/a") and not any(value.star for value in row)
    assert "missing." not in " ".join(line[0] for line in shown(found["protocol"]))
    assert "missing" not in tables_of(build_tables(tmp_path / "whole"))


def test_a_lost_baseline_is_explained_by_its_cells(tmp_path: Path) -> None:
    """The note of a baseline says that it is one; why it has no number is known from about.json alone."""
    folder = build_tables(tmp_path / "tables", methods=("dsdh",))
    lose(folder, "dsdh", "original", "train: killed")
    results = pandas.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    results.loc[results["quantizer"] == "original", "map_note"] = "baseline"
    results.to_csv(folder / "results.csv", index=False)
    assert tables_of(folder)["results"].rows[0][3].note == "train: killed"


@pytest.mark.parametrize("improvement", ["", "nan"])
def test_an_improvement_that_says_nothing_has_its_own_reason(tmp_path: Path, improvement: str) -> None:
    folder = build_tables(tmp_path / "tables", methods=("dsdh",))
    results = pandas.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    results.loc[results["quantizer"] == "wr", "map_improvement_percent"] = improvement
    results.to_csv(folder / "results.csv", index=False)
    row = tables_of(folder)["results"].rows[1]
    assert row[8].text == "n/a" and row[8].reason == "original is not above 0"


def test_tables_of_a_study_without_further_stages_are_as_before(tmp_path: Path) -> None:
    names = ["results", "summary", "metrics", "balance", "cells", "protocol"]
    folder = build_tables(tmp_path / "tables")
    assert list(tables_of(folder)) == names
    for name in ("tuning", "timing", "batch_size"):
        put(folder, name, [])
        columns = {"tuning": "trial,setting,n,validation_map_mean,validation_map_std,chosen",
                   "timing": "batch_size,epochs,seconds_median,seconds_std,overhead_percent",
                   "batch_size": "batch_size,n,validation_map_mean,validation_map_std"}[name]  # fmt: skip
        (folder / f"{name}.csv").write_text(f"method,quantizer,bits,{columns}\n")
    assert list(tables_of(folder)) == names, "files without rows make no tables"
