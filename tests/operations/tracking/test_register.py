"""A trained cell as a registered model, loaded where the repository isn't."""

import base64
import json
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.operations.tracking.register import MODULES
from tests.conftest import Project
from tests.operations.tracking.servers import DIRECT, model_server

# The finished study is built by one worker.
pytestmark = pytest.mark.xdist_group("finished")

LOAD = """
import importlib.metadata, json, re, sys
from pathlib import Path
import mlflow, numpy, pandas
uri, model, pictures, target = sys.argv[1:]
mlflow.set_tracking_uri(uri)
before = set(sys.modules)
loaded = mlflow.pyfunc.load_model(model)
assert "pipeline" not in sys.path[0]
files = sorted(Path(pictures).iterdir(), key=lambda file: int(file.stem))
numpy.save(target, loaded.predict(pandas.DataFrame({"image": [file.read_bytes() for file in files]})))
own = [module for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"]
used = {value.__name__.split(".")[0] for module in own for value in vars(module).values() if type(value) is type(sys)}
used |= {str(getattr(value, "__module__", "")) for module in own for value in vars(module).values()}
print(json.dumps({
    "inputs": loaded.metadata.signature.inputs.to_dict(), "outputs": loaded.metadata.signature.outputs.to_dict(),
    "modules": sorted({name.split(".")[0] for name in used} & set(importlib.metadata.packages_distributions())),
}))
"""


def best_seed(project: Project) -> int:
    scores = {}
    for seed in (0, 1):
        file = project.results / "train" / f"dsdh-wr-16-{seed}" / "training.json"
        scores[seed] = json.loads(file.read_text())["validation_map"]
    return max(scores, key=scores.__getitem__)


def write_pictures(images: Any, folder: Path) -> None:
    folder.mkdir()
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{number}.png")


def elsewhere(project: Project, folder: Path, script: str, *arguments: str) -> str:
    """What a script prints in another folder, in a process that has MLflow, torch, and nothing of this repository."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *arguments], cwd=folder, env=project.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "type hints" not in done.stderr
    return done.stdout


def test_the_registered_model_gives_the_stored_codes_elsewhere(finished: Project, tmp_path: Path) -> None:
    said = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16").stdout.splitlines()
    cell = f"dsdh-wr-16-{best_seed(finished)}"
    assert said[0] == f"small-dsdh-wr-16 version 1 is the network of {cell}. To use it, in any folder:"
    codes = finished.results / "codes" / cell
    images = np.load(finished.results / "data" / "prepared" / "images.npy")[np.load(codes / "database_indices.npy")]
    write_pictures(images, tmp_path / "pictures")
    stored, store = np.load(codes / "database_codes.npy"), f"sqlite:///{finished.folder}/mlflow.db"
    found = json.loads(
        elsewhere(finished, tmp_path, LOAD, store, "models:/small-dsdh-wr-16/1", "pictures", "codes.npy")
    )
    assert np.array_equal(np.load(tmp_path / "codes.npy"), stored)
    assert found["inputs"] == [{"type": "binary", "name": "image", "required": True}]
    assert found["outputs"] == [{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 2]}}]
    # Every package that the library's modules name is among the model's requirements.
    assert set(found["modules"]) - set(MODULES) <= {"ruamel", "typing_extensions", "pydantic_core"}, found["modules"]
    # As it was told to be done, word for word, in a folder of its own: quickly, and without leaving anything there.
    shutil.copy(tmp_path / "pictures" / "0.png", tmp_path / "photo.jpg")
    script = "\n".join([*(line.strip() for line in said[1:6]), "import numpy", "numpy.save('../told.npy', codes)"])
    (tmp_path / "elsewhere").mkdir()
    elsewhere(finished, tmp_path / "elsewhere", script.replace("photo.jpg", "../photo.jpg"))
    assert np.array_equal(np.load(tmp_path / "told.npy"), stored[:1])
    assert list((tmp_path / "elsewhere").iterdir()) == []
    again = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16").stdout
    assert f"version 1 is already the network of {cell}" in again


def asked(address: str, content: object) -> tuple[int, Any]:
    """The status and the answer of a model's server."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/invocations", json.dumps(content).encode(), headers)
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_served_model_takes_pictures_and_survives_mistakes(finished: Project, tmp_path: Path) -> None:
    said = finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16").stdout.splitlines()
    env, setting, *command = shlex.split(said[-1])
    assert env == "env"
    assert setting == f"MLFLOW_TRACKING_URI=sqlite:///{finished.folder}/mlflow.db" and command[-1] == "5001"
    images = np.load(finished.results / "data" / "prepared" / "images.npy")
    codes = finished.results / "codes" / f"dsdh-wr-16-{best_seed(finished)}"
    write_pictures(images[np.load(codes / "database_indices.npy")[:3]], tmp_path / "pictures")
    rows = [{"image": base64.b64encode((tmp_path / "pictures" / f"{n}.png").read_bytes()).decode()} for n in range(3)]
    environment = {**finished.env, "MLFLOW_TRACKING_URI": setting.partition("=")[2]}
    with model_server(tmp_path, command[:-1], environment) as address:
        expected = {"predictions": np.load(codes / "database_codes.npy")[:3].tolist()}
        assert asked(address, {"dataframe_records": rows}) == (200, expected)
        for mistake, words in (
            (
                {"image": base64.b64encode(b"no picture").decode()},
                "pictures[1]: not an image of a known kind; expected",
            ),
            ({"image": "?"}, "pictures[1]: not an image of a known kind"),
            ({"image": 3}, "Failed to convert column image"),
        ):
            status, answer = asked(address, {"dataframe_records": [rows[0], mistake]})
            assert status == 400 and words in answer["message"] and "stack_trace" not in answer, answer
        status, answer = asked(address, {"dataframe_records": [{"picture": rows[0]["image"]}]})
        assert status == 400 and "Model is missing inputs ['image']" in answer["message"]
        assert asked(address, {"dataframe_records": rows}) == (200, expected)


def test_the_models_requirements_are_pinned(finished: Project, tmp_path: Path) -> None:
    finished.run("python", "-m", "pipeline", "register", "dsdh-wr-16")
    finished.run(
        "mlflow", "artifacts", "download", "-u", "models:/small-dsdh-wr-16/1/requirements.txt", "-d", str(tmp_path),
        MLFLOW_TRACKING_URI=f"sqlite:///{finished.folder}/mlflow.db",
    )  # fmt: skip
    lines = (tmp_path / "requirements.txt").read_text().split()
    assert {"torch", "numpy", "safetensors", "mlflow", "pillow", "ruamel.yaml"} <= {
        line.split("==")[0] for line in lines
    }
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


def test_a_model_is_what_was_trained_whatever_params_say_now(finished: Project) -> None:
    finished.run("python", "-m", "pipeline", "track")
    file = finished.folder / "params.yaml"
    before = file.read_text()
    finished.edit("head.hidden", [7])
    finished.edit("backbone.input_size", 16)
    try:
        said = finished.run("python", "-m", "pipeline", "register", "csq-original-16").stdout
    finally:
        file.write_text(before)
    assert "small-csq-original-16 version 1 is the network of csq-original-16-" in said
    known = [json.loads(found.read_text()) for found in finished.folder.glob("mlruns/**/network/about.json")]
    assert known and all(about["head"]["hidden"] == [] and about["backbone"]["input_size"] == 8 for about in known)
