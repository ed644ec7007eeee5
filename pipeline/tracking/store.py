"""The tracking store: finding, writing and superseding runs."""

import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Short waits: a server that is away is reported, and the files can be logged at any later time.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

# Its news of making tables would stand between a stage's lines.
logging.getLogger("mlflow").setLevel(logging.WARNING)

#: Where runs go unless MLFLOW_TRACKING_URI says otherwise.
DEFAULT_URI = "sqlite:///mlflow.db"
#: MLflow's limits for one log_batch call.
BATCH = 1000
PARAMS_BATCH = 100

Metrics = Iterable[tuple[str, float, int]]


class Store:
    """One study's experiment.

    A run that describes what the result files hold is tagged ``status: current``; runs of the same cell with
    other params or another outcome are kept and tagged ``superseded``.
    """

    def __init__(self, study: str) -> None:
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        self.client = MlflowClient(tracking_uri=self.uri)
        self.experiment = self._experiment(study)

    def _experiment(self, study: str) -> str:
        found = self.client.get_experiment_by_name(study)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(study))
        except MlflowException:
            # Another process was first.
            found = self.client.get_experiment_by_name(study)
            if found is None:
                raise
            return str(found.experiment_id)

    def runs(self, condition: str) -> list[Run]:
        """All runs, not deleted, for which an MLflow filter holds."""
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment], condition, ViewType.ACTIVE_ONLY, 1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def start(self, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        """Begin a run and return its id."""
        run = self.client.create_run(self.experiment, run_name=name, tags={**tags, **provenance()})
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), PARAMS_BATCH):
            self.client.log_batch(run.info.run_id, params=entries[start : start + PARAMS_BATCH])
        return str(run.info.run_id)

    def log(self, run_id: str, metrics: Metrics) -> None:
        """Log (name, value, step) triples in as few calls as the API allows."""
        now = int(time.time() * 1000)
        entries = [Metric(name, value, now, step) for name, value, step in metrics]
        for start in range(0, len(entries), BATCH):
            self.client.log_batch(run_id, metrics=entries[start : start + BATCH])

    def tag(self, run_id: str, **tags: str) -> None:
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def settle(self, run_id: str, cell: str, result_id: str) -> str:
        """Make a finished run the current one of its cell.

        An earlier run of the very same result is kept instead of this one; unfinished runs of the cell that killed
        processes of this workspace left are removed; other results become superseded.

        Returns:
            the id of the run that is current now.
        """
        others = [run for run in self.runs(f"tags.cell = '{cell}'") if run.info.run_id != run_id]
        same = [run for run in others if run.data.tags.get("result_id") == result_id]
        kept = str(same[0].info.run_id) if same else run_id
        if kept != run_id:
            self.client.delete_run(run_id)
        else:
            self.tag(run_id, result_id=result_id)
            self.client.set_terminated(run_id, "FINISHED")
        for run in others:
            if run.info.run_id == kept:
                continue
            tags = run.data.tags
            if run in same or ("result_id" not in tags and tags.get("workspace") == workspace()):
                self.client.delete_run(run.info.run_id)
            elif "result_id" in tags and tags.get("status") != "superseded":
                self.tag(run.info.run_id, status="superseded")
        self.tag(kept, status="current")
        return kept

    def artifacts(self, run_id: str, folder: Path, name: str | None = None) -> None:
        self.client.log_artifacts(run_id, str(folder), name)


def provenance() -> dict[str, str]:
    """Tags that say which code made a run."""
    git = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", "pipeline", "stages", "params.yaml"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    tags = {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
    return {**tags, "git_changed": "yes" if changed else "no", "workspace": workspace()}


def workspace() -> str:
    """Which checkout on which machine: several may share a server."""
    return f"{socket.gethostname()}:{Path.cwd()}"
