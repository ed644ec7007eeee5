"""The tracking store: find, write and deduplicate runs."""

import getpass
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

# MLflow retries seven times by default. One is enough: results can be logged later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
# MLflow's telemetry takes a tenth of the time, and is not needed here.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A line for each run and a progress bar for each folder are not needed either.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from pipeline.operations.tracking import locations, moved
from pipeline.operations.tracking.patience import Watched
from pipeline.runtime import git

# Messages about creating tables would appear in a stage's output.
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

#: MLflow's limits for one log_batch call: number of all values, and number of params.
BATCH = 1000
PARAMS_BATCH = 100

#: Attempts to log a dataset. MLflow looks it up and then adds it, so of several concurrent writers all but one fail.
ATTEMPTS = 4

Metrics = Iterable[tuple[str, float, int]]


class Store:
    """The MLflow experiment of one study.

    A run is *claimed* when it is complete: it then gets the tag ``result_id``. One claimed run of each result is kept.
    Its tag ``status`` is ``current`` if it matches the workspace's files, and ``experiment`` if it was logged from a
    copy of the workspace (`dvc exp run --temp`). Runs of other results of the same cell are ``superseded``.

    Args:
        study: the study's name, which is also the experiment's name.
    """

    def __init__(self, study: str) -> None:
        self.uri = locations.uri()
        self.client = Watched(MlflowClient(tracking_uri=_patient(self.uri)))
        self.status = "experiment" if locations.in_a_copy() else "current"
        # MLflow creates an SQLite file's tables at the first call; two processes must not do so at the same time.
        with locations.exclusive("opening"):
            self.experiment = self._experiment(study)
            if wanted := locations.artifacts(study):
                moved.correct_artifact_paths(self.client.get_experiment(self.experiment).artifact_location, wanted)

    def _experiment(self, study: str) -> str:
        found = self.client.get_experiment_by_name(study)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(study, locations.artifacts(study)))
        except MlflowException:
            # A process on another machine created it first.
            found = self.client.get_experiment_by_name(study)
            if found is None:
                raise
            return str(found.experiment_id)

    def runs(self, condition: str = "") -> list[Run]:
        """All runs that match an MLflow filter, without deleted runs.

        Args:
            condition: the filter; empty means all runs.
        """
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment], condition, ViewType.ACTIVE_ONLY, 1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def start(self, name: str, tags: dict[str, str], begun: int | None = None) -> str:
        """Create a run and return its id.

        Args:
            name: the run's name.
            tags: its tags.
            begun: when its training began, in milliseconds since 1970; None means now.
        """
        run = self.client.create_run(self.experiment, start_time=begun, run_name=name, tags=tags)
        return str(run.info.run_id)

    def made_from(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Log the dataset of a run; ``data`` has ``name``, ``digest``, ``source`` and ``profile``."""
        dataset = Dataset(
            name=data["name"], digest=data["digest"], source_type="local", source=json.dumps({"uri": data["source"]}),
            profile=json.dumps(data["profile"]),
        )  # fmt: skip
        context = InputTag("mlflow.data.context", "training")
        for attempt in range(ATTEMPTS):
            try:
                self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])
                return
            except MlflowException:
                # Another process has just added the dataset; the next attempt finds it.
                if attempt == ATTEMPTS - 1:
                    raise

    def log(
        self,
        run_id: str,
        metrics: Metrics,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics (name, value, step), params, and finally tags, in as few calls as the API allows."""
        now = int(time.time() * 1000)
        # Last step first: MLflow compares every value with the latest so far, and replacing the latest is slow.
        latest_first = sorted(metrics, key=lambda metric: -metric[2])
        values = [Metric(name, value, now, step) for name, value, step in latest_first]
        named = [Param(key, str(value)) for key, value in (params or {}).items()]
        words = [RunTag(key, value) for key, value in (tags or {}).items()]
        while values or named or words:
            some, named = named[:PARAMS_BATCH], named[PARAMS_BATCH:]
            room = BATCH - len(some) - len(words)
            last = not named and len(values) <= room
            self.client.log_batch(run_id, metrics=values[:room], params=some, tags=words if last else [])
            values, words = values[room:], [] if last else words

    def artifacts(self, run_id: str, folder: Path, name: str | None = None) -> None:
        self.client.log_artifacts(run_id, str(folder), name)

    def finish(self, run_id: str, status: str = "FINISHED", ended: int | None = None) -> None:
        self.client.set_terminated(run_id, status, ended)

    def claim(self, identity: str) -> dict[str, str]:
        """Tags that mark a run as the complete run of a result. Log them after everything else."""
        return {"result_id": identity, "status": self.status}

    def settle(self, runs: list[Run], results: Mapping[str, str]) -> None:
        """Keep one current run per cell, even if other processes log the same cells at the same time.

        MLflow stores have no lock or unique key for this. Instead, every process searches for runs after claiming its
        own, and all processes keep the same run of a result: the oldest, and among equally old ones that with the
        smallest id. The last process to search sees all runs, so one run remains. Only claimed runs count, so the
        remaining run is complete.

        Args:
            runs: all runs of these cells, searched for after the last run was claimed.
            results: cell name -> id of the result in the cell's files (``content.result_id``).
        """
        of_cell = defaultdict(list)
        for run in runs:
            of_cell[run.data.tags.get("cell")].append(run)
        for cell, identity in results.items():
            self._settle(of_cell[cell], identity)

    def retire(self, runs: list[Run], cells: set[str]) -> None:
        """Mark current runs of this workspace as superseded if their cell is no longer in the grid.

        Args:
            runs: runs to look at.
            cells: names of all cells of the grid.
        """
        for run in runs if self.status == "current" else []:
            tags = run.data.tags
            gone = tags.get("kind") == "cell" and tags.get("cell") not in cells
            if gone and tags.get("status") == "current" and tags.get("workspace") == locations.workspace():
                self._unless_deleted(run.info.run_id, self.log, [], None, {"status": "superseded"})

    def _settle(self, runs: list[Run], identity: str) -> None:
        same = [run for run in runs if run.data.tags.get("result_id") == identity]
        kept = min(same, key=_rank).info.run_id if same else None
        for run in runs:
            tags, run_id = run.data.tags, run.info.run_id
            if run_id == kept:
                # A copy of the workspace doesn't change the status of existing runs.
                if self.status == "current" and tags.get("status") != "current":
                    self._unless_deleted(run_id, self.log, [], None, {"status": "current"})
                if run.info.status != "FINISHED":  # the process that wrote it died before finishing it
                    self._unless_deleted(run_id, self.finish)
            elif run in same or _abandoned(tags):
                self._unless_deleted(run_id, self.client.delete_run)
            elif tags.get("status") == "current" and self.status == "current":
                self._unless_deleted(run_id, self.log, [], None, {"status": "superseded"})

    def _unless_deleted(self, run_id: str, change: Callable[..., None], *arguments: Any) -> None:
        """Change a run; ignore an error if another process has deleted the run meanwhile."""
        try:
            change(run_id, *arguments)
        except MlflowException:
            if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
                raise


def _patient(uri: str) -> str:
    """Add a longer timeout than sqlite3's 5 seconds, for an SQLite file that another process is writing."""
    return f"{uri}?timeout=60" if uri.startswith(locations.SQLITE) and "?" not in uri else uri


@cache
def opened(study: str, uri: str) -> Store:
    """A study's store at this address (``locations.uri``), opened once per process."""
    assert uri == locations.uri()
    return Store(study)


def _rank(run: Run) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _abandoned(tags: Mapping[str, str]) -> bool:
    """Whether the run is incomplete because a process of this checkout died while writing it."""
    if "result_id" in tags or tags.get("workspace") != locations.workspace():
        return False
    try:
        os.kill(int(tags["process"]), 0)
    except ProcessLookupError:
        return True
    except (KeyError, ValueError):  # no process id: logged by an earlier version
        return True
    except PermissionError:  # a running process of another user
        return False
    return False


def provenance() -> dict[str, str]:
    """Tags with the code version, the checkout and the process that create a run."""
    commit = git.output("rev-parse", "HEAD")
    changed = git.output("status", "--porcelain", "--untracked-files=no", "--", "pipeline", "stages", "params.yaml")
    tags = {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
    name = locations.experiment()
    return {
        **tags,
        **({"experiment": name} if name else {}),
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "PROJECT",
        "git_changed": "yes" if changed else "no",
        "workspace": locations.workspace(),
        "process": str(os.getpid()),
    }
