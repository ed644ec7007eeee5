"""Tables of a study of which something is missing, and of what only some studies ask for."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.aggregation import optional_outputs
from pipeline.aggregation.study import aggregate
from pipeline.evaluation.cell import evaluate_cell
from pipeline.report.source import read
from pipeline.report.tables import build
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Group, Layout, cells_of
from tests.conftest import Project
from tests.messages import one_line
from tests.records import recorded

pytestmark = pytest.mark.xdist_group("finished")


@pytest.fixture
def study(finished: Project, tmp_path: Path) -> tuple[dict[str, Any], Layout]:
    """The finished study's params, and a copy of its results to do harm to."""
    shutil.copytree(finished.results, tmp_path / "results" / "small")
    return finished.params, Layout("small", tmp_path)


def tables(params: dict[str, Any], layout: Layout) -> Path:
    target = layout.root / "tables"
    target.mkdir()
    aggregate(params, layout, target)
    return target


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_missing_cell_is_named_with_its_reason_and_the_rest_is_there(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    lost, failed = (cell for cell in cells_of(params["grid"]) if cell.group == Group("dsdh", "wr", 16))
    for cell in (lost, failed):
        shutil.rmtree(layout.metrics(cell))
    layout.failure(failed).parent.mkdir()
    layout.failure(failed).write_text("train: the loss is nan in epoch 3\n")
    target = tables(params, layout)
    about = json.loads((target / "about.json").read_text())
    assert [(record["cell"], record["reason"]) for record in about["missing"]] == [
        ("dsdh-wr-16-0", "not run yet"),
        ("dsdh-wr-16-1", "train: the loss is nan in epoch 3"),
    ]
    results = {(row["method"], row["quantizer"]): row for row in rows(target / "results.csv")}
    row = results["dsdh", "wr"]
    assert (row["n"], row["map_mean"], row["map_p_value"]) == ("0", "", "")
    assert row["map_note"] == "missing: not run yet; train: the loss is nan in epoch 3"
    assert results["csq", "wr"]["n"] == "2" and results["csq", "wr"]["map_p_value"]
    assert "dsdh-wr-16" not in json.loads((target / "map.json").read_text())
    assert len(rows(target / "cells.csv")) == 6


def test_results_of_other_params_are_no_cells(study: tuple[dict[str, Any], Layout]) -> None:
    """As after an edit that `dvc repro --keep-going` stumbled over: what was made before lies there still."""
    params, layout = study
    failed = cells_of(params["grid"])[3]
    layout.failure(failed).parent.mkdir()
    layout.failure(failed).write_text("train: the loss is nan in epoch 1\n")
    params["quantizers"]["wr"]["weight"] = 50.0
    about = json.loads((tables(params, layout) / "about.json").read_text())
    reasons = {record["cell"]: record["reason"] for record in about["missing"]}
    other = "made with other params (quantizers.wr.weight: 0.1 -> 50.0)"
    expected = {cell.name: other for cell in cells_of(params["grid"]) if cell.quantizer == "wr"}
    assert reasons == expected | {failed.name: "train: the loss is nan in epoch 1"}


def test_recall_and_ndcg_are_tested_as_precision_is(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    params["evaluation"] |= {"recall_at": [10], "ndcg_at": [5, 10]}
    for cell in cells_of(params["grid"]):
        folder = layout.metrics(cell)
        evaluate_cell(params["evaluation"], cell, layout.train(cell), layout.codes(cell), folder)
        recorded(params, layout, "evaluate", cell, folder)
    target = tables(params, layout)
    cells, results = rows(target / "cells.csv"), rows(target / "results.csv")
    names = ["recall@10", "ndcg@5", "ndcg@10"]
    assert len(cells) == 8 and all(0 < float(cell[name]) <= 1 for cell in cells for name in names)
    for row in results:
        for name in names:
            own = [float(cell[name]) for cell in cells if all(cell[key] == row[key] for key in ("method", "quantizer"))]
            assert float(row[f"{name}_mean"]) == pytest.approx(sum(own) / 2)
            assert bool(row[f"{name}_p_value"]) == (row["quantizer"] == "wr")
    about = json.loads((target / "about.json").read_text())
    assert (about["recall_at"], about["ndcg_at"]) == ([10], [5, 10])
    listed = {row[3].text for table in build(read(target)) if table.name == "metrics" for row in table.rows}
    assert listed == {"precision@10", "precision@100", "precision@r2", *names}


def test_about_names_no_ranks_that_are_not_asked_for(study: tuple[dict[str, Any], Layout]) -> None:
    about = json.loads((tables(*study) / "about.json").read_text())
    assert "precision_at" in about and not {"recall_at", "ndcg_at"} & about.keys()


def test_what_was_asked_for_and_is_not_there_is_named(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    params["timing"] |= {"methods": ["csq"], "batch_sizes": [16]}
    params["informativeness"]["parts"] = ["query"]
    about = json.loads((tables(params, layout) / "about.json").read_text())
    names = {record["cell"] for record in about["missing"]}
    assert names == {"csq.timing-16"} | {f"{cell.name}.informativeness-query" for cell in cells_of(params["grid"])}


def test_a_batch_size_that_diverged_is_a_row_with_a_note(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    params["batch_size"] |= {"methods": ["csq"], "quantizers": ["wr"], "bits": [16], "values": [8], "seeds": [5, 6]}
    for seed, (value, note) in {5: (0.5, ""), 6: (None, "the loss is nan")}.items():
        folder = layout.batch_size(Group("csq", "wr", 16), 8, seed)
        folder.mkdir()
        (folder / "batch_size.json").write_text(json.dumps({"validation_map": value, "note": note}))
    row = optional_outputs.batch_size_table(params, layout, Path.exists).iloc[0]
    assert (row["n"], row["validation_map_mean"], row["validation_map_note"]) == (1, 0.5, "the loss is nan")


def test_a_failed_choice_of_settings_is_its_cells_reason(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    cell = cells_of(params["grid"])[0]
    shutil.rmtree(layout.metrics(cell))
    layout.failure(cell.group).parent.mkdir()
    layout.failure(cell.group).write_text("tune: no candidate trains\n")
    about = json.loads((tables(params, layout) / "about.json").read_text())
    assert [record["reason"] for record in about["missing"]] == ["tune: no candidate trains"]
    row = rows(layout.root / "tables" / "results.csv")[0]
    assert (row["n"], row["map_std"]) == ("1", "")


def test_a_study_without_any_cell_is_one_line(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    shutil.rmtree(layout.all_metrics)
    with pytest.raises(UserError) as error:
        tables(params, layout)
    one_line(error, "no cell has metrics", "not run yet", "dvc repro")


def test_a_failing_stage_leaves_its_reason_and_a_good_one_takes_it_back(finished: Project) -> None:
    cell = ["--method", "csq", "--quantizer", "wr", "--bits", "16", "--seed", "0"]
    layout = Layout("small", finished.folder)
    reason = layout.failure(cells_of(finished.params["grid"])[2])
    before = (finished.folder / "params.yaml").read_text()
    try:
        finished.edit("training.optimizer.learning_rate", 1e30)
        done = finished.run("python", "-m", "stages.train", *cell, check=False)
        assert done.returncode == 1 and reason.read_text().startswith("train: u and targets must be finite")
        assert "Traceback" not in done.stderr
        assert len(reason.read_text().splitlines()) == 1
    finally:
        (finished.folder / "params.yaml").write_text(before)
    finished.run("python", "-m", "stages.encode", *cell)
    assert reason.exists(), "another stage of the cell says nothing about this one"
    finished.run("python", "-m", "stages.train", *cell)
    assert not reason.exists()
    assert finished.repro() == [], "the same bytes again"


def test_overhead_is_that_of_the_medians(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    params["timing"] |= {"methods": ["csq"], "batch_sizes": [16, 32], "bits": 48}
    folder = layout.timing("csq", 16)
    folder.mkdir()
    times = [("original", 2.0), ("wr", 3.0), ("original", 4.0), ("wr", 5.0), ("original", 9.0), ("wr", 5.0)]
    lines = "".join(f"{quantizer},{place},{value}\n" for place, (quantizer, value) in enumerate(times))
    (folder / "timing.csv").write_text("quantizer,epoch,seconds\n" + lines)
    table = optional_outputs.timing_table(params, layout, Path.exists)
    assert table["batch_size"].tolist() == [16, 16], "32 isn't there, and no reason to fail"
    assert table["seconds_median"].tolist() == [4.0, 5.0]
    assert table["overhead_percent"].tolist()[1] == pytest.approx(25)
    assert pd.isna(table["overhead_percent"][0])


def test_what_is_not_asked_for_is_dropped_from_the_workspace(study: tuple[dict[str, Any], Layout]) -> None:
    params, layout = study
    folders = {
        "timing": layout.timing("csq", 16),
        "batch-size": layout.batch_size(Group("csq", "wr", 16), 8, 0),
        "visualize-inputs": layout.visualized_inputs(0),
        "tune": layout.tuning(Group("csq", "ot", 16)),
    }
    for stage, folder in folders.items():
        folder.mkdir()
        (folder / "made.txt").touch()
        about = {"method": "csq", "quantizer": "ot", "bits": 16, "seed": 0, "batch_size": 16}
        recorded(params, layout, stage, about, folder)
    tables(params, layout)
    assert {folder.name for folder in layout.all_metrics.iterdir()} == {cell.name for cell in cells_of(params["grid"])}
    assert {folder.name for folder in layout.all_tuning.iterdir()} == {
        cell.group.name for cell in cells_of(params["grid"])
    }


def test_what_the_pipeline_did_not_make_stays(
    study: tuple[dict[str, Any], Layout], capsys: pytest.CaptureFixture[str]
) -> None:
    params, layout = study
    (layout.all_metrics / ".DS_Store").write_text("x")
    (layout.all_tuning / "notes.txt").write_text("x")
    by_hand = layout.metrics(cells_of(params["grid"])[0]).with_name("csq-mine-16-0")
    by_hand.mkdir()
    (by_hand / "metrics.json").write_text("{}")
    annotated = layout.metrics(cells_of(params["grid"])[-1])
    (annotated / "remarks.txt").write_text("x")
    params["grid"]["quantizers"] = ["original"]
    tables(params, layout)
    assert (layout.all_metrics / ".DS_Store").exists() and (layout.all_tuning / "notes.txt").exists()
    assert (by_hand / "metrics.json").exists() and (annotated / "remarks.txt").exists()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in said] == [
        str(layout.all_metrics / "csq-mine-16-0"),
        str(annotated),
        str(layout.all_tuning / "notes.txt"),
    ]
