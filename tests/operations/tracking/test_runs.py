"""What MLflow knows of a run beside its numbers: times, dataset, source, user; and stores that were copied or moved."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.operations.tracking.ui import runs as page
from pipeline.runtime.layout import Layout, cells_of
from tests.conftest import Project
from tests.operations.tracking.conftest import Study

pytestmark = pytest.mark.xdist_group("finished")
sqlite = pytest.mark.parametrize("study", ["sqlite"], indirect=True)


def test_a_run_says_when_and_of_what_and_by_whom(finished: Project, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from pipeline.training import times

    # Other tests of this study train a cell with other params and restore the old result: its times are unknown then.
    # So one cell is trained here, and the runs go to a store of their own.
    cells = cells_of(finished.params["grid"])
    known = cells[0]
    finished.repro("--force", "--single-item", f"cells/train/dvc.yaml:train@{known.name}")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    finished.run("python", "-m", "pipeline", "track", MLFLOW_TRACKING_URI=uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("small").experiment_id
    layout = Layout("small", finished.folder)
    manifest = json.loads((layout.data / "manifest.json").read_text())
    for cell in cells:
        (run,) = client.search_runs([experiment], f"tags.cell = '{cell.name}' and tags.status = 'current'")
        trained = times.of(layout, cell)
        assert trained or cell != known
        if trained:
            assert (run.info.start_time, run.info.end_time) == (trained["begun"], trained["ended"])
            assert 100 < run.info.end_time - run.info.start_time < 300_000
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("digits", manifest["content_hash"][:16])
        assert json.loads(data.dataset.profile)["images"] == 1797
        assert run.data.tags["mlflow.source.name"] and run.data.tags["mlflow.user"]
        assert {"map", "precision_at_10", "validation/map", "validation/map_kept"} <= run.data.metrics.keys()
        assert not {name for name in run.data.metrics if "@" in name or name == "validation_map"}


def test_times_of_other_weights_are_not_taken(finished: Project, tmp_path: Path) -> None:
    from pipeline.training import times

    shutil.copytree(finished.results, tmp_path / "results" / "small")
    layout = Layout("small", tmp_path)
    cell = cells_of(finished.params["grid"])[0]
    assert times.of(layout, cell).keys() == {"begun", "ended"}
    file = layout.train(cell) / "made_of.json"
    record = json.loads(file.read_text())
    record["files"]["history.csv"] = 64 * "0"
    file.write_text(json.dumps(record))
    assert times.of(layout, cell) == {}


@contextmanager
def server(kind: str) -> Iterator[str]:
    """A server that turns everybody away, never ends its answer, or never answers."""
    ended = threading.Event()

    class Bad(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            if kind == "429":
                self.send_response(429)
                self.send_header("Retry-After", "30")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif kind == "endless":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                try:
                    while not ended.wait(1):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                except OSError:
                    pass
            else:
                ended.wait(120)

        do_GET = do_POST = handle_any

        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        ended.set()
        made.shutdown()
        made.server_close()


@pytest.mark.parametrize("kind", ["429", "endless", "silent"])
def test_a_server_that_never_answers_is_given_up_in_a_line(kind: str, finished: Project) -> None:
    with server(kind) as address:
        given = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}
        began = time.monotonic()
        done = finished.run("python", "-m", "pipeline", "track", check=False, **given)
        tracked = time.monotonic() - began
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: MLflow: {address} ") and "results are kept" in line and len(line) < 200
        began = time.monotonic()
        done = finished.run("python", "-m", "stages.report", **given)
        reported = time.monotonic() - began
    (line,) = done.stderr.splitlines()
    assert "results are kept" in line and "logs them later" in line and len(line) < 250
    assert max(tracked, reported) < 20, "6 s after the last sign of life, and what MLflow takes to start here"
    assert finished.repro() == []


def test_a_time_limit_that_is_no_number_is_named(finished: Project) -> None:
    given = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_TIMEOUT": "soon"}
    done = finished.run("python", "-m", "pipeline", "track", check=False, **given)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and "MLFLOW_HTTP_REQUEST_TIMEOUT: expected seconds; found 'soon'" in line


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "/tmp/mlruns", "databricks", "sqlite://x"])
def test_a_store_of_another_kind_is_refused(uri: str, finished: Project) -> None:
    done = finished.run("python", "-m", "pipeline", "track", check=False, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "MLFLOW_TRACKING_URI: expected sqlite:///<file>" in line and uri in line


def test_no_password_is_shown(finished: Project) -> None:
    address = "http://somebody:hush@127.0.0.1:9"
    done = finished.run("python", "-m", "pipeline", "track", check=False, MLFLOW_TRACKING_URI=address)
    assert "hush" not in done.stderr + done.stdout and "127.0.0.1:9" in done.stderr


# A checkout that was copied or moved with its store.


def artifacts_of(folder: Path, study: Study) -> set[str]:
    moved = Study(folder, f"sqlite:///{folder}/mlflow.db", study.name)
    return {run.info.artifact_uri.removeprefix("file://") for run in moved.runs("")}


@sqlite
@pytest.mark.parametrize("way", ["copied", "moved"])
def test_a_checkout_elsewhere_has_artifacts_of_its_own(way: str, study: Study, tmp_path: Path) -> None:
    first = Study(study.folder, f"sqlite:///{study.folder}/mlflow.db", study.name)
    first.track()
    there = tmp_path / "another place"
    shutil.copytree(study.folder, there)
    if way == "moved":
        shutil.rmtree(study.folder)
    before = sorted(path for path in study.folder.rglob("*"))
    second = Study(there, f"sqlite:///{there}/mlflow.db", study.name)
    second.edit("quantizers", "wr", weight=0.7)
    second.made_anew()
    done = subprocess.run(**second.command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "came from another folder" in done.stderr and len(done.stderr.splitlines()) == 1
    assert all(str(there).replace(" ", "%20") in uri for uri in artifacts_of(there, study))
    assert sorted(path for path in study.folder.rglob("*")) == before, "nothing was written where it came from"
    assert second.track() and "came from" not in subprocess.run(**second.command, capture_output=True, text=True).stderr


@sqlite
def test_a_store_without_its_artifacts_is_one_line(study: Study, tmp_path: Path) -> None:
    first = Study(study.folder, f"sqlite:///{study.folder}/mlflow.db", study.name)
    first.track()
    second = first.copy("second")
    shutil.copy(study.folder / "mlflow.db", second.folder / "mlflow.db")
    second.uri = f"sqlite:///{second.folder}/mlflow.db"
    done = subprocess.run(**second.command, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "without its artifacts" in line and "make track" in line


def test_the_page_of_the_training_runs() -> None:
    assert page("http://127.0.0.1:5000", "7").endswith("/#/experiments/7/runs?workflowType=machine_learning")
