"""Studies of heads, run by `dvc repro` as a user runs them: what an edit re-runs, and vectors without any image."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from tests.conftest import Project, copy_project, grid, make_small

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("heads")]


def settle(project: Project) -> None:
    """Nothing is left to do."""
    assert "up to date" in project.run("dvc", "status").stdout


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("frozen"))
    make_small(project)
    project.edit("grid.seeds", [0])
    project.edit("grid.training_free", ["itq"])
    project.edit("backbone.frozen", True)
    project.edit("features.views", ["plain", "mirrored"])
    project.edit("head", {"hidden": [32], "dropout": 0.2, "normalize": "standardize"})
    project.repro()
    settle(project)
    return project


def test_a_method_without_training_has_the_last_row(frozen: Project) -> None:
    last = pd.read_csv(frozen.results / "tables" / "results.csv").iloc[-1]
    assert (last["method"], last["quantizer"], last["n"], last["map_note"]) == ("itq", "original", 1, "baseline")
    assert last["map_mean"] > 0.3
    assert "itq" in (frozen.results / "report" / "index.html").read_text()
    frozen.run("python", "-m", "pipeline", "verify")


def test_an_edit_of_a_method_runs_its_heads_alone(frozen: Project) -> None:
    frozen.append("pipeline/methods/csq.py", "\n# an edit\n")
    ran = frozen.repro()
    names = {name.split(":")[-1].partition("@")[0] for name in ran}
    assert names <= {"tune", "train", "encode", "evaluate", "aggregate", "report"} and "train" in names
    assert not [name for name in ran if "dsdh" in name or "itq" in name]
    settle(frozen)


def test_a_view_less_trains_all_heads_again_and_computes_no_features(frozen: Project) -> None:
    frozen.edit("features.views", ["plain"])
    ran = [name.split(":")[-1] for name in frozen.repro()]
    assert sum(name.startswith("train@") for name in ran) == 4
    assert sum(name.startswith("train-training-free@") for name in ran) == 1
    assert not [name for name in ran if name.startswith(("features", "prepare"))]
    assert not (frozen.results / "data" / "features-mirrored").exists()
    settle(frozen)
    frozen.run("python", "-m", "pipeline", "verify")


PREDICT = """\
import mlflow, numpy as np
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/embeddings-example-csq-original-32/1")
np.save("predicted.npy", model.predict(np.load("data/vectors.npy")))
"""


def test_from_vectors_to_codes_a_table_and_a_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = copy_project(tmp_path_factory.mktemp("vectors"))
    digits = load_digits()
    (project.folder / "data").mkdir()
    np.save(project.folder / "data" / "vectors.npy", digits.data.astype(np.float32))
    pd.DataFrame({"label": digits.target}).to_csv(project.folder / "data" / "labels.csv", index=False)
    project.run("python", "-m", "pipeline", "study", "embeddings-example", "--force")
    project.edit("grid", grid(quantizers=["original", "wr"], bits=[32], seeds=[0, 1]))
    project.repro()
    settle_but_for_files(project)
    assert "csq" in project.run("python", "-m", "pipeline", "results").stdout
    project.run("python", "-m", "pipeline", "verify")
    said = project.run("python", "-m", "pipeline", "register", "csq-original-32").stdout
    assert "codes = model.predict(vectors)  # float32 (n, D)" in said and "pandas" not in said
    project.run("python", "-c", PREDICT)
    (cell,) = {name for seed in (0, 1) for name in (f"csq-original-32-{seed}",) if f"of {name}." in said}
    codes = project.results / "codes" / cell
    predicted = np.load(project.folder / "predicted.npy")[np.load(codes / "database_indices.npy")]
    assert np.array_equal(predicted, np.load(codes / "database_codes.npy"))


def settle_but_for_files(project: Project) -> None:
    """Nothing is left to do but to look at the raw files, as always."""
    lines = project.run("dvc", "status").stdout.splitlines()
    assert {line.split("@")[0].strip(":") for line in lines if line and not line.startswith(("\t", " "))} <= {
        "files-dataset"
    }
