"""A trained cell as a registered model, loaded where the repository isn't."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.codes import pack, sign
from pipeline.encoding.device import Compute
from pipeline.encoding.encode import outputs
from pipeline.encoding.head import LINEAR
from pipeline.encoding.network import build
from tests.conftest import Project

# The finished study is built by one worker.
pytestmark = pytest.mark.xdist_group("finished")

LOAD = """
import sys
import mlflow, numpy as np
uri, model, images, target = sys.argv[1:]
mlflow.set_tracking_uri(uri)
loaded = mlflow.pyfunc.load_model(model)
assert "pipeline" not in sys.path[0]
np.save(target, loaded.predict(np.load(images)))
info = mlflow.models.get_model_info(model)
print(info.signature.inputs.to_json(), info.signature.outputs.to_json())
"""


def best_seed(project: Project) -> int:
    scores = {}
    for seed in (0, 1):
        file = project.results / "train" / f"dsdh-wr-16-{seed}" / "training.json"
        scores[seed] = json.loads(file.read_text())["validation_map"]
    return max(scores, key=scores.__getitem__)


def test_the_registered_model_gives_the_stored_codes_elsewhere(finished: Project, tmp_path: Path) -> None:
    said = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16").stdout.splitlines()
    cell = f"dsdh-wr-16-{best_seed(finished)}"
    assert said[0] == f"small-dsdh-wr-16 version 1 is the network of {cell}. To use it, in any folder:"
    codes = finished.results / "codes" / cell
    images = np.load(finished.results / "data" / "prepared" / "images.npy")[np.load(codes / "database_indices.npy")]
    np.save(tmp_path / "images.npy", images)
    # A process in another folder, which has MLflow, torch, and nothing of this repository.
    command = [sys.executable, "-I", "-c", LOAD, f"sqlite:///{finished.folder}/mlflow.db", "models:/small-dsdh-wr-16/1"]
    done = subprocess.run(
        [*command, "images.npy", "codes.npy"], cwd=tmp_path, env=finished.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (np.load(tmp_path / "codes.npy") == np.load(codes / "database_codes.npy")).all()
    assert '"uint8", "shape": [-1, 8, 8, 3]' in done.stdout and '"uint8", "shape": [-1, 2]' in done.stdout
    # As it was told to be done, word for word, in a folder of its own: quickly, and without leaving anything there.
    script = "\n".join(["import numpy as np", "images = np.load('../images.npy')", *(line.strip() for line in said[1:]),
                        "np.save('../told.npy', codes)"])  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path / "elsewhere",
        env=finished.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (np.load(tmp_path / "told.npy") == np.load(codes / "database_codes.npy")).all()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    again = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16").stdout
    assert f"version 1 is already the network of {cell}" in again


@pytest.mark.skipif(torch.cuda.is_available(), reason="the model takes the GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_computes_in_the_precision_that_it_was_trained_in(precision: str, tmp_path: Path) -> None:
    from pipeline.operations.tracking.model import Hashing

    section, compute = {"name": "cnn", "weights": "none", "input_size": 8}, Compute(torch.device("cpu"), precision)
    network = build(section, 16, compute)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "weights")
    about = {"backbone": section, "bits": 16, "precision": precision, "image_size": 8, "head": LINEAR}
    model, images = Hashing(), np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "about.json").write_text(json.dumps(about))
    model.load_context(
        SimpleNamespace(artifacts={"weights": str(tmp_path / "weights"), "about": str(tmp_path / "about.json")})
    )
    assert model.network.compute == compute
    expected = outputs(network, images, np.arange(50), compute.device).numpy()
    assert np.array_equal(model.predict(None, images), pack(sign(expected)))


def test_the_models_requirements_are_pinned(finished: Project, tmp_path: Path) -> None:
    finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16")
    finished.run(
        "mlflow", "artifacts", "download", "-u", "models:/small-dsdh-wr-16/1/requirements.txt", "-d", str(tmp_path),
        MLFLOW_TRACKING_URI=f"sqlite:///{finished.folder}/mlflow.db",
    )  # fmt: skip
    lines = (tmp_path / "requirements.txt").read_text().split()
    assert {"torch", "numpy", "safetensors", "mlflow"} <= {line.split("==")[0] for line in lines}
    assert all("==" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ((), {}, ("found nothing", "csq-original-16", "dsdh-wr-16")),
        (("",), {}, ("found nothing",)),
        (("dsdh-cb-16",), {}, ("dsdh-cb-16", "csq-original-16", "dsdh-wr-16")),
        (("dsdh-wr",), {}, ("found 'dsdh-wr' (did you mean 'dsdh-wr-16'?)",)),
        (("x; touch pwned",), {}, ("found 'x; touch pwned'",)),
        (
            ("dsdh-wr-16",),
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
            ("register: ", "start the MLflow server"),
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...], env: dict[str, str], words: tuple[str, ...], finished: Project
) -> None:
    done = finished.run("python", "-m", "pipeline", "register", *arguments, check=False, **env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: register: ") and all(word in line for word in words), line


def test_missing_results_are_one_line(finished: Project) -> None:
    folder = finished.results / "train" / "dsdh-wr-16-0"
    aside = folder.with_name("aside")
    folder.rename(aside)
    try:
        done = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16", check=False)
    finally:
        aside.rename(folder)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and "train/dsdh-wr-16-0 is missing; run `dvc repro`" in line


@pytest.mark.parametrize(
    "images", [np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_images_that_the_model_was_not_made_for_are_one_line(images: object, tmp_path: Path) -> None:
    from pipeline.operations.tracking.model import Hashing

    section, compute = {"name": "cnn", "weights": "none", "input_size": 8}, Compute(torch.device("cpu"), "float32")
    network = build(section, 16, compute)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "weights")
    about = {"backbone": section, "bits": 16, "precision": "float32", "image_size": 8, "head": LINEAR}
    (tmp_path / "about.json").write_text(json.dumps(about))
    model = Hashing()
    model.load_context(
        SimpleNamespace(artifacts={"weights": str(tmp_path / "weights"), "about": str(tmp_path / "about.json")})
    )
    with pytest.raises(ValueError, match="expected images as uint8 of shape") as error:
        model.predict(None, images)
    assert len(str(error.value).splitlines()) == 1


def test_registering_leaves_the_run_as_it_was(finished: Project) -> None:
    """No params of the model's, and the times of the training."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.folder}/mlflow.db")
    finished.run("python", "-m", "pipeline", "track")
    experiment = client.get_experiment_by_name("small").experiment_id
    runs = {run.info.run_id: run for run in client.search_runs([experiment], "tags.kind = 'cell'")}
    finished.run("python", "-m", "pipeline", "register", "csq-wr-16")
    for run in client.search_runs([experiment], "tags.kind = 'cell'"):
        before = runs[run.info.run_id]
        assert run.data.params == before.data.params
        assert (run.info.start_time, run.info.end_time) == (before.info.start_time, before.info.end_time)
        assert run.info.status == "FINISHED"
