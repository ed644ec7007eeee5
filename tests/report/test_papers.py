"""The papers' layouts, filled with their numbers and with ours by the same code."""

from pathlib import Path

import pandas
import pytest

from pipeline.report.published import protocol_facts
from pipeline.report.published.records import FOLDER, of_table, published, retrieval
from pipeline.report.source import read
from pipeline.report.tables import Table, Value
from pipeline.report.tables.papers import LAYOUTS, build, hswd, wr
from pipeline.report.tables.papers.layout import Grid
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.report.making import (
    beside,
    lose,
    mean_seconds,
    put,
    republish,
    shown,
    tables_of,
    timed,
)  # fmt: skip
from tests.report.test_tables import build_tables


def column(grid: Grid | Table, title: str) -> list[Value]:
    place = [head.title for head in grid.columns].index(title)
    return [row[place] for row in grid.rows]


def test_twelve_average_improvements_are_exactly_the_published_ones() -> None:
    expected = pandas.read_csv(FOLDER / "wr-table1-average-improvement.csv")
    assert len(expected) == 12
    grid = wr.accuracy(of_table("wr-table1"))
    for dataset, part in expected.groupby("dataset"):
        found = {row[0].text: value for row, value in zip(grid.rows, column(grid, f"Δ % {dataset}"), strict=True)
                 if row[1].text == "with"}  # fmt: skip
        for method, percent in zip(part["method"], part["average_improvement_percent"], strict=True):
            assert found[method].text == f"{percent:+.2f}", (dataset, method)
            assert found[method].note == ""


def test_table_1_has_every_published_number_and_star() -> None:
    grid = wr.accuracy(of_table("wr-table1"))
    values = [value for row in grid.rows for value in row[2:-2] if value.data]
    assert sorted(value.data or "" for value in values) == sorted(record.text for record in of_table("wr-table1"))
    assert [value.star for value in values].count(True) == 46
    empty = [row[:2] + [value] for row in grid.rows for value in row[2:-2] if value.text == "n/a"]
    assert [(method.text, value.reason) for method, _, value in empty] == [("csq", "no such number")] * 4, "48 bits"


def test_table_2_has_the_published_overheads() -> None:
    expected = pandas.read_csv(FOLDER / "wr-table2-epoch-seconds.csv")
    without, with_it, overhead = wr.seconds(of_table("wr-table2")).rows
    assert [value.text for value in overhead[2:]] == [f"{p:+.2f}" for p in expected["overhead_percent"]]
    assert [float(value.text) for value in without[2:]] == expected["baseline_seconds"].tolist()
    assert [float(value.text) for value in with_it[2:]] == expected["wr_seconds"].tolist()


def test_every_printed_improvement_is_reproduced_or_noted() -> None:
    """Shown percentages are those of the paper but for rounding, and a note stands at each that isn't."""
    noted = []
    for table in ("hswd-table4", "hswd-table5", "hswd-table6"):
        records = of_table(table)
        grid = LAYOUTS[table](records)
        values = {value.column: value for row in grid.rows for value in row[2:]}
        assert len(values) == len({(record.dataset, record.bits) for record in records})
        for row in grid.rows:
            for value in row[2:]:
                dataset, bits = value.column.split("_")[:2]
                record = next(r for r in records if f"{r.method}{hswd.SUFFIXES[r.quantizer]}" == row[1].text
                              and (r.dataset, str(r.bits)) == (dataset, bits))  # fmt: skip
                assert value.data == record.text
                assert bool(record.printed) == (record.quantizer != "original")
                if not record.printed:
                    assert value.text == f"{float(record.text):.4f}"
                    continue
                shown_percent = float(value.text.split(" / ")[1].rstrip("%"))
                assert value.more[-1].data and abs(float(value.more[-1].data) - shown_percent) <= 0.05 + 1e-9
                if value.note:
                    assert value.note == f"printed: {record.printed}%"
                    noted.append((table, dataset, row[1].text, record.printed, shown_percent))
                else:
                    assert abs(shown_percent - float(record.printed)) < 0.11
    assert noted == [
        ("hswd-table4", "cifar10", "csq-S", "4.1", 23.9),
        ("hswd-table4", "nuswide", "csq-S", "3.2", 13.3),
        ("hswd-table4", "coco", "csq-S", "2.3", 5.0),
        ("hswd-table4", "cifar10", "csq-C", "4.8", 24.7),
        ("hswd-table4", "nuswide", "csq-C", "3.2", 13.4),
        ("hswd-table4", "coco", "csq-C", "3.4", 6.2),
        ("hswd-table4", "coco", "dbdh-C", "3.6", 3.9),
    ]
    assert "7 of the 36" in LAYOUTS["hswd-table4"](of_table("hswd-table4")).caption[0]
    assert "all 72" in LAYOUTS["hswd-table5"](of_table("hswd-table5")).caption[0]


def test_all_numbers_are_laid_out() -> None:
    assert len(retrieval()) == 410 and len(published()) == 422
    assert sum(1 for record in published() if record.printed) == 180
    laid = [value for table in LAYOUTS for row in LAYOUTS[table](of_table(table)).rows for value in row
            if value.data and value.column.endswith("_bits")]  # fmt: skip
    assert len(laid) == 410


@pytest.mark.parametrize(
    ("table", "dataset", "here"),
    [("wr-table1", "cifar10", "cifar10"), ("wr-table1", "nuswide21", "nuswide21"), ("wr-table3", "cifar10", "cifar10"),
     ("hswd-table4", "coco", "coco"), ("hswd-table5", "nuswide", "nuswide81"), ("hswd-table6", "cifar10", "cifar10")],
)  # fmt: skip
def test_a_study_with_the_published_numbers_looks_like_the_paper(
    tmp_path: Path, table: str, dataset: str, here: str
) -> None:
    found = tables_of(republish(tmp_path / "tables", table, dataset, here))
    own, theirs = found[table], found[f"{table}-published"]
    assert [row[:2] for row in own.rows] == [row[:2] for row in theirs.rows]
    for ours, printed in zip(own.rows, theirs.rows, strict=True):
        assert [(v.data, v.star) for v in ours[2:]] == [(v.data, v.star) for v in printed[2:]]
    verdicts = {value.text for value in column(found["comparison"], "ours is")}
    assert verdicts == {"equal"}
    size = len(of_table(table, dataset))
    assert f"compared with {size}; {size} of them have a counterpart" in found["comparison"].caption[0]
    assert f"Ours is lower in 0 of these {size}." in found["comparison"].caption


def test_own_code_lengths_where_the_paper_has_none_of_them(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", bits=(12, 24), **beside())
    found = tables_of(folder)
    assert [head.title for head in found["hswd-table4"].columns] == ["method", "row", "12 bits", "24 bits"]
    assert [head.title for head in found["wr-table1"].columns] == ["method", "WR", "12 bits", "24 bits", "Δ %"]
    folder = build_tables(tmp_path / "mixed", bits=(12, 16), **beside())
    assert [head.title for head in tables_of(folder)["wr-table1"].columns][2:] == ["16 bits", "Δ %"]


def test_hswd_layout_of_ours(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside())
    results = pandas.read_csv(folder / "results.csv").set_index(["method", "quantizer"])
    rows = {row[1].text: row[2] for row in tables_of(folder)["hswd-table5"].rows}
    assert list(rows) == ["dsdh", "dsdh-S", "dsdh-C", "csq", "csq-S", "csq-C"]
    for method in ("dsdh", "csq"):
        base = results.loc[(method, "original")]
        for quantizer, suffix in hswd.SUFFIXES.items():
            row, value = results.loc[(method, quantizer)], rows[method + suffix]
            percent = 100 * (row["map_mean"] / base["map_mean"] - 1)
            gain = "" if quantizer == "original" else f" / {percent:+.1f}%"
            assert value.text == f"{row['map_mean']:.4f} ± {row['map_std']:.4f}{gain}"
            assert value.star == (row["map_p_value"] < 0.05 and row["map_difference"] > 0)


def test_significantly_lower_is_said_and_gets_no_star(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside())
    results = pandas.read_csv(folder / "results.csv")
    wr_rows = results["quantizer"] == "wr"
    results.loc[wr_rows, "map_p_value"], results.loc[wr_rows, "map_difference"] = 0.001, -0.1
    results.to_csv(folder / "results.csv", index=False)
    for row in tables_of(folder)["wr-table1"].rows:
        assert not row[2].star
        assert row[2].note == ("lower than original, p < 0.05" if row[1].text == "with" else "")


def test_seconds_are_averaged_over_the_methods_that_have_both(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside())
    timed(folder, bits=(16, 48))
    found = tables_of(folder)
    assert "Means over dsdh, csq." in found["wr-table2"].caption
    assert not [part for part in found["wr-table2-published"].caption if part.startswith("Means over")]
    without, with_it, overhead = found["wr-table2"].rows
    assert [row[1].text for row in (without, with_it, overhead)] == ["48"] * 3, "the paper's code length"
    assert without[2].data == repr(mean_seconds("original", 64)) and without[2].note == ""
    assert with_it[2].data == repr(mean_seconds("wr", 64))
    both = mean_seconds("wr", 64) / mean_seconds("original", 64) - 1
    assert float(overhead[2].data or 0) == pytest.approx(100 * both)
    assert without[3].text == f"{2 + 1 / 128:.2f}" and without[3].note == "1 of 2 methods", "csq has no wr at 128"


def test_a_lost_code_length_is_left_out_of_the_average_and_said(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", bits=(16, 32), **beside())
    results = pandas.read_csv(folder / "results.csv")
    gone = (results["method"] == "dsdh") & (results["quantizer"] == "wr") & (results["bits"] == 32)
    results.loc[gone, ["map_mean", "map_std", "map_p_value"]] = None
    results.loc[gone, "map_note"] = "train: out of memory"
    results.to_csv(folder / "results.csv", index=False)
    row = next(row for row in tables_of(folder)["wr-table1"].rows if [v.text for v in row[:2]] == ["dsdh", "with"])
    assert (row[3].text, row[3].note) == ("n/a", "train: out of memory") and not row[3].star
    assert row[4].note == "over 16 bits" and row[4].text != "n/a"


def test_captions_name_paper_protocol_and_tuning(tmp_path: Path) -> None:
    found = tables_of(build_tables(tmp_path / "tables", informativeness=True, **beside()))
    for name in ("wr-table1", "wr-table3", "hswd-table5", "hswd-table6"):
        text = " ".join(found[name].caption)
        for part in (protocol_facts.citation(name), "Dataset digits", "protocol counts", "5 seeds", "Not tuned"):
            assert part in text, (name, part)
    assert "best validation mAP" in " ".join(found["wr-table1"].caption)


def test_without_published_in_about_there_are_no_paper_tables(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables")
    assert build(read(folder)) == []
    assert not {name for name in tables_of(folder) if "table" in name or name in ("comparison", "differences")}


def test_only_what_was_measured_is_laid_out(tmp_path: Path) -> None:
    found = tables_of(build_tables(tmp_path / "tables", **beside()))
    assert "wr-table2" not in found and "wr-table3" not in found, "no timing, no informativeness"
    assert {"wr-table2-published", "wr-table3-published"} <= found.keys()


def test_no_baseline(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside())
    results = pandas.read_csv(folder / "results.csv")
    results[results["quantizer"] != "original"].to_csv(folder / "results.csv", index=False)
    found = tables_of(folder)
    assert [row[1].text for row in found["hswd-table5"].rows] == ["dsdh-S", "dsdh-C", "csq-S", "csq-C"]
    assert all(row[2].text.endswith(" / n/a") and row[2].note == "no original" for row in found["hswd-table5"].rows)
    assert {row[-1].note or row[-1].reason for row in found["wr-table1"].rows} == {
        "baseline", "no code length on both sides"
    }  # fmt: skip


def test_everything_missing(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", methods=("dsdh",), **beside())
    for quantizer in ("original", "wr", "swd", "hswd"):
        lose(folder, "dsdh", quantizer, "train: the loss is nan in epoch 3")
    put(folder, "history", [])
    (folder / "history.csv").write_text("method,quantizer,bits,epoch\n")
    found = tables_of(folder)
    for name in ("results", "wr-table1", "hswd-table5"):
        values = [value for row in found[name].rows for value in row]
        assert not any(value.star for value in values)
        assert any(value.note == "train: the loss is nan in epoch 3" for value in values)
    assert len(found["missing"].rows) == 20 and "cells" not in found
    assert "0 of them have a counterpart" in found["comparison"].caption[0]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [(beside("cifar10", "wr-table9"), ("about.json", "no table 'wr-table9'", "hswd-table6", "Correct it")),
     (beside("cifar", "wr-table1"), ("about.json", "no dataset 'cifar'", "cifar10", "Correct it"))],
)  # fmt: skip
def test_unknown_names_are_one_line(tmp_path: Path, changes: dict[str, object], parts: tuple[str, ...]) -> None:
    folder = build_tables(tmp_path / "tables", **changes)
    with pytest.raises(UserError) as error:
        tables_of(folder)
    one_line(error, *parts)


def test_single_seed(tmp_path: Path) -> None:
    found = tables_of(build_tables(tmp_path / "tables", seeds=1, **beside()))
    assert all("± n/a" in row[2].text for row in found["hswd-table5"].rows)
    first = found["wr-table1"].rows[0][2]
    assert first.spread and first.spread.text == "n/a" and first.spread.reason.endswith("n = 1")
    assert not any(value.star for table in ("wr-table1", "hswd-table5") for row in found[table].rows for value in row)
    assert shown(found["results"])[1][-2] == "n/a"
