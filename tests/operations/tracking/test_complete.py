"""`track` on an SQLite file, a server, and a server on PostgreSQL: every cell once, however it is called."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import pytest
import yaml

from pipeline.runtime.layout import Layout
from pipeline.training.history import read
from tests.operations.tracking.conftest import CELLS, EPOCHS, Study
from tests.operations.tracking.servers import slow_proxy

# One worker starts the servers.
pytestmark = pytest.mark.xdist_group("mlflow")


def each_cell_once(study: Study) -> list[Any]:
    """The runs of the study's cells, of which each has one, finished and current."""
    runs = study.runs()
    assert Counter(run.data.tags["cell"] for run in runs) == Counter(dict.fromkeys(cells(study), 1))
    assert {(run.info.status, run.data.tags["status"]) for run in runs} == {("FINISHED", "current")}
    return runs


def cells(study: Study) -> list[str]:
    return sorted(folder.name for folder in Layout(study.name, study.folder).all_metrics.iterdir())


def test_every_cell_is_there_whole_and_again_changes_nothing(study: Study) -> None:
    assert study.track() == f"{CELLS} cells of '{study.name}' are in MLflow\n"
    runs = each_cell_once(study)
    for run in runs[:2]:
        folder = Layout(study.name, study.folder).all_metrics / run.info.run_name
        written = json.loads((folder / "metrics.json").read_text())
        assert {name: run.data.metrics[name] for name in written} == written
        assert run.data.params["quantizer"] == run.data.tags["quantizer"]
        assert run.data.params["training.epochs"] == "8"
        for name, column in (("loss", "loss"), ("validation/map", "validation_map"), ("loss/wr", "wr")):
            points = study.client.get_metric_history(run.info.run_id, name)
            found = sorted((point.step, point.value) for point in points)
            assert found == [(int(row["epoch"]), row[column]) for row in read(folder / "history.csv")]
            assert len(found) == EPOCHS
        files = {file.path for file in study.client.list_artifacts(run.info.run_id)}
        assert files == {file.name for file in folder.iterdir()}
    study.track()
    assert {run.info.run_id for run in study.runs()} == {run.info.run_id for run in runs}
    again = study.runs()
    assert {run.info.run_id: run.data.tags for run in again} == {run.info.run_id: run.data.tags for run in runs}


def test_parallel_calls_from_three_checkouts_leave_one_run_a_cell(study: Study) -> None:
    """Two of them are one checkout; on SQLite they also make the tables at the same time."""
    processes = [study.start(), study.start(), study.copy("second").start()]
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        assert out.startswith(f"{CELLS} cells")
    before = {run.info.run_id for run in each_cell_once(study)}
    study.track()
    assert {run.info.run_id for run in each_cell_once(study)} == before


def test_runs_of_other_params_are_kept_as_superseded(study: Study) -> None:
    study.track()
    first = {run.info.run_id for run in each_cell_once(study)}
    study.edit("quantizers", "wr", weight=0.7)
    said = study.track()
    left = "2 more have results of other params or code, `dvc repro` renews them"
    assert said == f"6 cells of '{study.name}' are in MLflow; {left}\n"
    assert {run.info.run_id for run in each_cell_once(study)} == first, "no run of what never was"
    study.made_anew()
    study.track()
    runs = study.runs()
    old = [run for run in runs if run.data.tags["status"] == "superseded"]
    assert {run.data.tags["quantizer"] for run in old} == {"wr"}
    assert {run.info.run_id for run in old} < first
    assert len(runs) == CELLS + len(old)
    study.edit("quantizers", "wr", weight=0.1)
    study.made_anew()
    study.track()
    current = study.runs("tags.kind = 'cell' and tags.status = 'current'")
    assert {run.info.run_id for run in current} == first, "the first results are current again"
    assert len(study.runs()) == len(runs)


@pytest.mark.parametrize("study", ["sqlite"], indirect=True)
def test_cells_that_left_the_grid_are_not_current_any_more(study: Study) -> None:
    study.track()
    runs = each_cell_once(study)
    elsewhere = study.copy("second")
    params = yaml.safe_load((study.folder / "params.yaml").read_text())
    params["grid"]["methods"].remove("dsdh")
    (study.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    study.track()
    status = {run.data.tags["cell"]: run.data.tags["status"] for run in study.runs()}
    assert status == {name: "superseded" if name.startswith("dsdh") else "current" for name in status}
    assert len(status) == len(runs)
    elsewhere.track()
    assert {run.data.tags["status"] for run in study.runs()} == {"current"}, "they are another checkout's"


@pytest.mark.parametrize("study", ["server"], indirect=True)
def test_a_call_that_is_killed_leaves_nothing_double(study: Study) -> None:
    with slow_proxy(study.uri, 0.5) as address:
        interrupted = Study(study.folder, address, study.name)
        process = interrupted.start()
        deadline = time.monotonic() + 120
        while not unfinished(study):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert unfinished(study)
    study.track()
    each_cell_once(study)


def unfinished(study: Study) -> list[Any]:
    experiment = study.client.get_experiment_by_name(study.name)
    runs = study.client.search_runs([experiment.experiment_id]) if experiment else []
    return [run for run in runs if "result_id" not in run.data.tags]


@pytest.mark.parametrize("study", ["sqlite"], indirect=True)
def test_metrics_measured_anew_replace_the_old_ones(study: Study) -> None:
    study.track()
    before = {run.info.run_id for run in each_cell_once(study)}
    file = Layout(study.name, study.folder).all_metrics / cells(study)[0] / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"measure_0": 0.25}))
    study.track()
    runs = each_cell_once(study)
    assert {run.info.run_id for run in runs} == before
    (changed,) = [run for run in runs if run.info.run_name == cells(study)[0]]
    assert changed.data.metrics["measure_0"] == 0.25


@pytest.mark.parametrize("study", ["sqlite"], indirect=True)
def test_no_server_is_one_line_that_says_what_to_do(study: Study) -> None:
    nothing = Study(study.folder, "http://127.0.0.1:9").command
    nothing["env"]["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    done = subprocess.run(**nothing, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: MLflow: ") and "MLFLOW_TRACKING_URI" in line
