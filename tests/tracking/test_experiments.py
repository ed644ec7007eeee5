"""`dvc exp run --temp` works in a copy of the project; its runs belong in the project's store."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

# The finished study is built by one worker.
pytestmark = pytest.mark.xdist_group("finished")


def test_a_temporary_experiment_logs_into_the_projects_store(finished: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{finished.folder}/mlflow.db")

    def runs(condition: str) -> list[Any]:
        experiment = client.get_experiment_by_name("small").experiment_id
        return list(client.search_runs([experiment], f"tags.kind = 'cell' and {condition}"))

    finished.run("python", "-m", "pipeline.tracking")
    current = {run.info.run_id for run in runs("tags.status = 'current'")}
    finished.run("git", "add", "-A")
    finished.run("git", "commit", "-q", "--allow-empty", "-m", "finished")
    finished.run("dvc", "exp", "run", "--temp", "-n", "stronger", "-S", "methods.csq.quantization=0.5")
    found = runs("tags.experiment = 'stronger'")
    assert sorted(run.data.tags["cell"] for run in found) == sorted(
        f"csq-{quantizer}-16-{seed}" for quantizer in ("original", "wr") for seed in (0, 1)
    )
    assert {run.data.params["methods.csq.quantization"] for run in found} == {"0.5"}
    assert {run.data.tags["status"] for run in found} == {"experiment"}
    for run in found:
        assert run.data.metrics["map"] > 0
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        assert finished.folder in folder.parents and (folder / "metrics.json").exists()
    assert {run.info.run_id for run in runs("tags.status = 'current'")} == current, "the workspace's stay current"
