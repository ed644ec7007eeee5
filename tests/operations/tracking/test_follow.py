"""Epochs in MLflow while a cell trains, and what a server that is away, slow or killed does to that: nothing much."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.runtime.layout import Cell, Layout
from pipeline.training.history import read
from tests.conftest import Project, copy_project, make_small
from tests.operations.tracking.servers import free_port, mlflow_server, slow_proxy, stop

# One worker starts the servers.
pytestmark = pytest.mark.xdist_group("mlflow")

CELL = Cell("dsdh", "wr", 16, 0)
ARGUMENTS = ["--method", "dsdh", "--quantizer", "wr", "--bits", "16", "--seed", "0"]
EPOCHS = 250
#: The train stage, followed from its first second, which waits in the middle until the test lets it go on.
STAGE = f"""
import runpy, time
from pathlib import Path
from pipeline.training import history, mlflow_follower

mlflow_follower.DELAY = 0.0
add = history.History.add

def add_and_wait(self, row):
    add(self, row)
    while row["epoch"] == {EPOCHS // 2} and not Path("go-on").exists():
        time.sleep(0.05)

history.History.add = add_and_wait
runpy.run_module("stages.train", run_name="__main__")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A cell's data and split, and a training of many short epochs."""
    made = copy_project(tmp_path_factory.mktemp("follow") / "project")
    make_small(made)
    made.edit("training.epochs", EPOCHS)
    made.edit("training.validate_every", 10)
    made.edit("split.per_class.train", 10)
    made.edit("grid.methods", ["dsdh"])
    made.edit("grid.quantizers", ["wr"])
    made.edit("grid.seeds", [0])
    made.run("dvc", "repro", "split@0", "shared-train", "cells/tune/dvc.yaml:tune@dsdh-wr-16")
    return made


@pytest.fixture(autouse=True)
def experiment(project: Project, request: pytest.FixtureRequest) -> str:
    """Each test has its own study on the shared server, with the same data."""
    old, new = project.results, request.node.name.replace("_", "-")[:60]
    project.edit("study", new)
    if old != project.results:
        old.rename(project.results)
    return new


def train(project: Project, uri: str) -> "subprocess.Popen[str]":
    env = {**project.env, "MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    command = [sys.executable, "-c", STAGE, *ARGUMENTS]
    return subprocess.Popen(command, cwd=project.folder, env=env, stderr=subprocess.PIPE, text=True)


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str, study: str) -> list[Any]:
    found = client(uri).get_experiment_by_name(study)
    return list(client(uri).search_runs([found.experiment_id])) if found else []


def wait_for_epochs(process: "subprocess.Popen[str]", uri: str, study: str) -> Any:
    """The cell's run, once it has epochs."""
    deadline = time.monotonic() + 180
    while True:
        for run in runs(uri, study):
            if len(client(uri).get_metric_history(run.info.run_id, "loss/wr")) >= 2:
                return run
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_for_followers_end(process: "subprocess.Popen[str]") -> None:
    """Until the process that follows has ended, which the stage takes notice of after training."""
    deadline = time.monotonic() + 180
    while True:
        followers = psutil.Process(process.pid).children()
        if followers and all(one.status() == psutil.STATUS_ZOMBIE for one in followers):
            return
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def finished(project: Project, process: "subprocess.Popen[str]") -> list[str]:
    """What a training that is let go on, and ends well, has to say, progress bars aside."""
    (project.folder / "go-on").touch()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return [line for line in re.split(r"[\r\n]+", said) if line and "epochs" not in line]


def one_warning(lines: list[str]) -> None:
    (line,) = lines
    assert line.startswith(f"warning: MLflow has not logged {CELL.name} (")
    assert line.endswith("its results are kept, and `make track` logs them later")


def whole_history(project: Project, uri: str, study: str) -> Any:
    """The cell's only run, with every epoch once."""
    (run,) = runs(uri, study)
    written = read(Layout(study, project.folder).train(CELL) / "history.csv")
    for name, column in (("loss", "loss"), ("loss/wr", "wr"), ("validation/map", "validation_map")):
        points = client(uri).get_metric_history(run.info.run_id, name)
        expected = [(int(row["epoch"]), row[column]) for row in written if column in row]
        assert sorted((point.step, point.value) for point in points) == expected
    return run


def test_epochs_appear_while_a_cell_trains_and_are_all_there_at_the_end(
    project: Project, server: str, experiment: str
) -> None:
    process = train(project, server)
    run = wait_for_epochs(process, server, experiment)
    assert run.info.status == "RUNNING"
    assert finished(project, process) == []
    run = whole_history(project, server, experiment)
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "current")


def test_an_interrupted_training_is_a_failed_run(project: Project, server: str, experiment: str) -> None:
    """Ctrl-C in a terminal reaches every process of the group."""
    env = {**project.env, "MLFLOW_TRACKING_URI": server}
    command = [sys.executable, "-c", STAGE, *ARGUMENTS]
    process = subprocess.Popen(
        command, cwd=project.folder, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    run = wait_for_epochs(process, server, experiment)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "warning" not in said
    assert client(server).get_run(run.info.run_id).info.status == "FAILED"


def test_nothing_behind_the_address(project: Project, experiment: str) -> None:
    process = train(project, f"http://127.0.0.1:{free_port()}")
    wait_for_followers_end(process)
    one_warning(finished(project, process))


def test_a_server_that_takes_five_seconds_to_answer(project: Project, server: str, experiment: str) -> None:
    history = Layout(experiment, project.folder).train(CELL) / "history.csv"
    with slow_proxy(server, 5.0) as address:
        process = train(project, address)
        wait_for_epochs(process, server, experiment)
        lines = finished(project, process)
        waited = time.time() - history.stat().st_mtime
    assert waited < 14, "the stage ends 10 seconds after training at the latest"
    one_warning(lines)
    evaluated(project)
    project.run("python", "-m", "pipeline", "track", MLFLOW_TRACKING_URI=server)
    assert whole_history(project, server, experiment).data.metrics["map"] > 0


def test_a_server_killed_midway_gets_everything_later(project: Project, tmp_path: Path, experiment: str) -> None:
    backend, port = f"sqlite:///{tmp_path}/server.db", free_port()
    with mlflow_server(tmp_path, backend, port) as (address, server_process):
        process = train(project, address)
        wait_for_epochs(process, address, experiment)
        stop(server_process)
        one_warning(finished(project, process))
    evaluated(project)
    with mlflow_server(tmp_path, backend, port) as (address, _):
        project.run("python", "-m", "pipeline", "track", MLFLOW_TRACKING_URI=address)
        run = whole_history(project, address, experiment)
        assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "current")
        assert run.data.metrics["map"] > 0


def evaluated(project: Project) -> None:
    for stage in ("encode", "evaluate"):
        project.run("python", "-m", f"stages.{stage}", *ARGUMENTS)


@pytest.fixture(autouse=True)
def cleared(project: Project, experiment: str) -> Iterator[None]:
    """No test finds another's training."""
    yield
    layout = Layout(experiment, project.folder)
    for folder in (layout.train(CELL), layout.codes(CELL), layout.metrics(CELL)):
        if folder.exists():
            subprocess.run(["rm", "-r", folder], check=True)
    (project.folder / "go-on").unlink(missing_ok=True)
