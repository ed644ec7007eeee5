"""Features of a frozen backbone: what they are, and that an interrupted call ends in the same bytes."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pipeline import backbones
from pipeline.encoding.images import normalization, normalized
from pipeline.encoding.transfer import to_device
from pipeline.features import extraction
from pipeline.preparation import arrays
from pipeline.preparation.arrays import CHUNK, Prepared
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json
from tests.conftest import ROOT
from tests.messages import one_line
from tests.preparation.helpers import contents

COUNT = 3 * CHUNK + 50


def frozen(**backbone: Any) -> Any:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["backbone"] |= {"frozen": True, **backbone}
    params["features"] = {"views": ["plain"]}
    params["compute"] = {"device": "cpu", "precision": "float32", "numerics": "portable", "threads": 1}
    return params


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    labels = np.eye(4, dtype=np.uint8)[np.arange(COUNT) % 4]
    return Prepared(np.load(folder / "images.npy", mmap_mode="r"), labels, {"content_hash": "x"})


def written(data: Prepared, folder: Path, view: str = "plain", **backbone: Any) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    extraction.write(frozen(**backbone), data, view, folder)
    return contents(folder)


@pytest.fixture(scope="module")
def expected(data: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return written(data, tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("view", ["plain", "mirrored"])
def test_features_are_the_backbones_outputs_in_evaluation_mode(view: str, data: Prepared, tmp_path: Path) -> None:
    written(data, tmp_path, view)
    torch.manual_seed(0)
    backbone = backbones.create("cnn").eval()
    images = to_device(np.ascontiguousarray(data.images[:, :, ::-1] if view == "mirrored" else data.images[:]), CPU)
    with torch.no_grad():
        found = backbone(normalized(images, *normalization(backbone), 8, torch.contiguous_format))
    features = np.load(tmp_path / "features.npy")
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, found.numpy(), rtol=1e-4, atol=1e-5)
    manifest = read_json(tmp_path / "manifest.json")
    assert (manifest["view"], manifest["images"], manifest["num_features"]) == (view, COUNT, features.shape[1])


CPU = torch.device("cpu")


def test_features_of_another_study_are_copied(
    data: Prepared,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, target = tmp_path / "other", tmp_path / "target"
    written(data, other)
    interrupted(data, target, monkeypatch, 1)
    monkeypatch.setattr(extraction, "_chunk", lambda *given: pytest.fail("a feature was computed"))
    extraction.write(frozen(), data, "plain", target, [tmp_path / "absent", other])
    assert contents(target) == expected
    assert capsys.readouterr().out == f"features: copied from {other}\n"


@pytest.mark.parametrize("what", ["another view", "another network", "damaged"])
def test_other_or_damaged_features_are_not_copied(
    what: str, data: Prepared, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, target = tmp_path / "other", tmp_path / "target"
    target.mkdir()
    if what == "another network":
        extraction.write(frozen(name="resnet18", input_size=32), data, "plain", make(other))
    else:
        written(data, other, "mirrored" if what == "another view" else "plain")
    if what == "damaged":
        features = np.load(other / "features.npy")
        features[-1] += 1
        np.save(other / "features.npy", features)
    extraction.write(frozen(), data, "plain", target, [other])
    assert contents(target) == expected
    assert capsys.readouterr().out == ""


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_cores(
    data: Prepared, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 3):
        monkeypatch.setattr(extraction, "cores", lambda count=count: count)
        assert written(data, tmp_path / str(count)) == expected


def test_threads_of_the_process_are_as_before(data: Prepared, tmp_path: Path) -> None:
    params = frozen()
    params["compute"]["threads"] = 2
    extraction.write(params, data, "plain", tmp_path)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def interrupted(data: Prepared, folder: Path, monkeypatch: pytest.MonkeyPatch, chunks: int, **backbone: Any) -> None:
    """A call that ends with an error after this many chunks."""
    done, real = 0, extraction._chunk

    def some(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done > chunks:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "cores", lambda: 1)
        patch.setattr(extraction, "_chunk", some)
        with pytest.raises(KeyboardInterrupt):
            written(data, folder, **backbone)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First rows of the chunks that are computed from now on."""
    computed, real = [], extraction._chunk

    def chunk(*arguments: Any) -> Any:
        computed.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(extraction, "_chunk", chunk)
    return computed


def test_an_interrupted_call_computes_only_what_is_missing(
    data: Prepared, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(data, tmp_path, monkeypatch, 2)
    computed = counted(monkeypatch)
    assert written(data, tmp_path) == expected
    assert sorted(computed) == [2 * CHUNK, 3 * CHUNK]


def test_a_damaged_chunk_is_computed_again(
    data: Prepared, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(data, tmp_path, monkeypatch, 2)
    features = np.load(tmp_path / "features.npy", mmap_mode="r+")
    features[7] += 1
    features.flush()
    computed = counted(monkeypatch)
    assert written(data, tmp_path) == expected
    assert sorted(computed) == [0, 2 * CHUNK, 3 * CHUNK]


@pytest.mark.parametrize("backbone", [{"input_size": 16}, {"weights": "other"}])
def test_another_backbone_starts_over(
    backbone: dict[str, Any], data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "weights" in backbone:
        torch.manual_seed(1)
        torch.save(backbones.create("cnn").state_dict(), tmp_path / "other.pt")
        backbone = {"weights": str(tmp_path / "other.pt")}
    interrupted(data, tmp_path / "a", monkeypatch, 2) if (tmp_path / "a").mkdir() else None
    computed = counted(monkeypatch)
    written(data, tmp_path / "a", **backbone)
    assert len(computed) == 4


def test_other_images_start_over(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(data, tmp_path, monkeypatch, 2)
    computed = counted(monkeypatch)
    written(Prepared(data.images, data.labels, {"content_hash": "y"}), tmp_path)
    assert len(computed) == 4


SCRIPT = """\
import sys, time
from pathlib import Path
import numpy as np
from pipeline.features import extraction
from pipeline.preparation.arrays import Prepared
from tests.features.test_extraction import frozen

real = extraction._chunk
def slow(*arguments):
    time.sleep(0.3)
    return real(*arguments)
extraction._chunk = slow
images = np.load(sys.argv[1], mmap_mode="r")
extraction.write(frozen(), Prepared(images, np.eye(4, dtype=np.uint8)[np.arange(len(images)) % 4],
                 {"content_hash": "x"}), "plain", Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_twice_it_ends_in_the_same_bytes(data: Prepared, expected: dict[str, bytes], tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(data.images.filename), str(tmp_path)]  # type: ignore[attr-defined]
    journal = tmp_path / "journal.jsonl"
    for lines in (2, 3):
        process = subprocess.Popen(command, cwd=ROOT)
        while not (journal.exists() and len(journal.read_text().splitlines()) >= lines):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, cwd=ROOT, check=True)
    assert contents(tmp_path) == expected


def test_a_value_that_is_not_finite_is_one_line(data: Prepared, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = backbones.create("cnn").state_dict()
    name = next(name for name in state if name.endswith("weight"))
    state[name][:] = torch.inf
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(UserError) as error:
        written(data, tmp_path / "features", weights=str(tmp_path / "broken.pt"))
    one_line(error, "features: cnn gives a value that is not finite for image", "backbone.weights")


def test_changed_images_are_refused(tmp_path: Path) -> None:
    from tests.preparation.helpers import Made, prepared

    data = prepared(Made(20), tmp_path / "data")
    images = np.load(tmp_path / "data" / "images.npy", mmap_mode="r+")
    images[3] ^= 1
    images.flush()
    with pytest.raises(UserError, match="have changed"):
        written(arrays.load(tmp_path / "data"), tmp_path / "features")
    assert data.images.shape[0] == 20
