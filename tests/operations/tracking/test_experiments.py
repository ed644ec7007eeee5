"""`dvc exp run --temp` works in a copy of the project; its runs belong in the project's store."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, copy_project, grid, make_small
from tests.datasets.making import photo

# The finished study is built by one worker.
pytestmark = pytest.mark.xdist_group("finished")


def test_a_temporary_experiment_logs_into_the_projects_store(finished: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{finished.folder}/mlflow.db")

    def runs(condition: str) -> list[Any]:
        experiment = client.get_experiment_by_name("small").experiment_id
        return list(client.search_runs([experiment], f"tags.kind = 'cell' and {condition}"))

    finished.run("python", "-m", "pipeline", "track")
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


@pytest.mark.parametrize("way", ["--temp", "--queue"])
def test_an_experiment_in_a_copy_finds_data_that_git_ignores(way: str, tmp_path: Path) -> None:
    """Images and weights by paths from the project's folder, in a folder that git ignores."""
    from safetensors.torch import save_file

    from pipeline import backbones

    project = copy_project(tmp_path / "project")
    make_small(project)
    for number in range(40):
        photo(project.folder / "data" / "pets" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    state = {name: value.contiguous() for name, value in backbones.create("cnn", weights="none").state_dict().items()}
    save_file(state, project.folder / "data" / "cnn.safetensors")
    project.edit("dataset", {"name": "images", "path": "data/pets", "labels": None, "image_size": 8,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("backbone.weights", "data/cnn.safetensors")
    project.edit("split.per_class", {"query": 2, "validation": 2, "train": 8})
    project.edit("grid", grid())
    project.edit("training.batch_size", 8)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    project.run("dvc", "exp", "run", way, "-n", "tried", "-S", "training.epochs=3")
    if way == "--queue":
        project.run("dvc", "queue", "start")
        deadline = time.monotonic() + 240
        while "Success" not in (status := project.run("dvc", "queue", "status").stdout):
            assert "Failed" not in status and time.monotonic() < deadline, project.run(
                "dvc", "queue", "logs", "tried"
            ).stdout
            time.sleep(1)
    shown = project.run("dvc", "exp", "show", "--csv", "--only-changed").stdout
    assert "tried" in shown
