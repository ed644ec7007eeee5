"""Stores to track into, started once a session, and studies whose result files are there already."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.tracking import record_results, write_results
from tests.conftest import ROOT
from tests.operations.tracking.servers import mlflow_server, postgresql

CELLS, EPOCHS = 8, 3


@dataclass
class Study:
    """Result files of ``CELLS`` cells, as the stages write them, and the store that they belong in."""

    folder: Path
    uri: str
    name: str = "benchmark"

    @property
    def command(self) -> dict[str, Any]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))}
        paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        env = {**kept, "PYTHONPATH": paths, "MLFLOW_TRACKING_URI": self.uri}
        return {"args": [sys.executable, "-m", "pipeline", "track"], "cwd": self.folder, "env": env}

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(**self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def track(self) -> str:
        done = subprocess.run(**self.command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def copy(self, name: str) -> "Study":
        """The same results in another checkout."""
        shutil.copytree(self.folder, self.folder.parent / name, ignore=shutil.ignore_patterns("mlflow.db*", "mlruns"))
        return Study(self.folder.parent / name, self.uri, self.name)

    def edit(self, section: str, key: str, **values: Any) -> None:
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        params[section][key] |= values
        file.write_text(yaml.safe_dump(params, sort_keys=False))

    def made_anew(self) -> None:
        """As if all cells had been run with the params as they are now, to the same losses."""
        record_results(self.folder)

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def runs(self, condition: str = "tags.kind = 'cell'") -> list[Any]:
        experiment = self.client.get_experiment_by_name(self.name)
        return list(self.client.search_runs([experiment.experiment_id], condition))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, f"sqlite:///{folder}/server.db") as (address, _):
        yield address


@pytest.fixture(scope="session")
def server_on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("postgresql")
    with postgresql() as backend, mlflow_server(folder, backend) as (address, _):
        yield address


@pytest.fixture(params=["sqlite", "server", "server_on_postgresql"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """Results in a folder of their own, in an experiment of their own, for each kind of store.

    A test that concerns one kind names it: ``parametrize("study", [...], indirect=True)``.
    """
    folder = tmp_path / "first"
    folder.mkdir()
    name = f"study-{request.node.name.split('[')[0][5:50]}".replace("_", "-")
    write_results(folder, CELLS, EPOCHS, name)
    uri = f"sqlite:///{tmp_path}/shared.db" if request.param == "sqlite" else request.getfixturevalue(request.param)
    return Study(folder, uri, name)
