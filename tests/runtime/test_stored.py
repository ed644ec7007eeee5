"""Every stored file, cut short, empty, changed in one byte or missing: one line that names it and says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.operations.verification import verify
from pipeline.runtime import stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout
from tests.conftest import Project
from tests.messages import one_line

pytestmark = pytest.mark.xdist_group("finished")

CELL = Cell("dsdh", "wr", 16, 1)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    """The last byte, which is data in every kind of file here."""
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def pickled(file: Path) -> None:
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def gone(file: Path) -> None:
    file.unlink()


#: Stored file -> the stage that reads it.
READ_BY = {
    "data/prepared/images.npy": "train",
    "data/prepared/labels.npy": "train",
    "data/prepared/manifest.json": "train",
    "splits/1/train.npy": "train",
    "splits/1/split.json": "train",
    "tuning/dsdh-wr-16/choice.json": "train",
    "train/dsdh-wr-16-1/weights.safetensors": "encode",
    "train/dsdh-wr-16-1/training.json": "evaluate",
    "codes/dsdh-wr-16-1/query_codes.npy": "evaluate",
    "codes/dsdh-wr-16-1/database_labels.npy": "evaluate",
    "codes/dsdh-wr-16-1/codes.json": "evaluate",
    "metrics/dsdh-wr-16-1/metrics.json": "aggregate",
    "metrics/dsdh-wr-16-1/history.csv": "aggregate",
}
ARGUMENTS = ["--method", "dsdh", "--quantizer", "wr", "--bits", "16", "--seed", "1"]


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished project's files in a folder of their own, without DVC: stages are run by hand."""
    for name in ("pipeline", "stages", "cells", "published", "results", "dvc.yaml", "params.yaml"):
        source = finished.folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    for file in (tmp_path / "results").rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    project = Project(tmp_path)
    return project


@pytest.mark.parametrize("harm", [cut, empty, gone])
@pytest.mark.parametrize("name", READ_BY)
def test_a_stage_says_which_file_is_damaged(name: str, harm: Callable[[Path], None], copy: Project) -> None:
    harm(copy.results / name)
    stage = READ_BY[name]
    arguments = [] if stage == "aggregate" else ARGUMENTS
    done = copy.run("python", "-m", f"stages.{stage}", *arguments, check=False)
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert Path(name).name in lines[0] and "dvc repro" in lines[0]


@pytest.mark.parametrize("name", [name for name in READ_BY if name.endswith(("npy", "safetensors"))])
def test_a_byte_that_has_changed_is_noticed_where_it_is_read(name: str, copy: Project) -> None:
    flipped(copy.results / name)
    done = copy.run("python", "-m", f"stages.{READ_BY[name]}", *ARGUMENTS, check=False)
    assert done.returncode == 1, "it went on without a word"
    (line,) = done.stderr.splitlines()
    assert str(Path(name).parent) in line and ("changed" in line or "differ" in line) and "dvc" in line


@pytest.mark.parametrize(
    "name",
    [
        "data/prepared/images.npy",
        "data/prepared/labels.npy",
        "splits/1/query.npy",
        "train/dsdh-wr-16-1/weights.safetensors",
        "train/dsdh-wr-16-1/history.csv",
        "codes/dsdh-wr-16-1/query_codes.npy",
        "codes/dsdh-wr-16-1/database_indices.npy",
        "metrics/dsdh-wr-16-1/curves.csv",
        "tuning/dsdh-wr-16/choice.json",
    ],
)  # fmt: skip
def test_verify_names_what_has_changed(name: str, finished: Project, tmp_path: Path) -> None:
    shutil.copytree(finished.results, tmp_path / "results" / "small")
    file = tmp_path / "results" / "small" / name
    file.chmod(0o644)
    flipped(file) if file.suffix != ".json" else file.write_text(file.read_text() + " ")
    with pytest.raises(UserError) as error:
        verify(finished.params, tmp_path)
    lines = str(error.value).splitlines()
    assert any(Path(name).parent.name in line for line in lines), lines


def test_no_array_is_unpickled(tmp_path: Path) -> None:
    pickled(tmp_path / "a.npy")
    with pytest.raises(UserError) as error:
        stored.array(tmp_path / "a.npy", "uint8", 1)
    one_line(error, "a.npy", "dvc checkout --force")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.zeros((2, 2)), "expected uint8 in 2 dimensions, found float64 in 2 dimensions"),
        (np.zeros(2, np.uint8), "found uint8 in 1 dimensions"),
        (np.zeros((3, 2), np.uint8), "expected 2 items, found 3"),
    ],
)
def test_an_array_of_another_kind_is_told(found: np.ndarray, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", found)
    with pytest.raises(UserError) as error:
        stored.array(tmp_path / "a.npy", "uint8", 2, items=2)
    one_line(error, said)


def test_results_without_recorded_hashes_are_read(finished: Project, tmp_path: Path) -> None:
    layout = Layout("small", finished.folder)
    shutil.copytree(layout.codes(CELL), tmp_path / "codes")
    record = json.loads((tmp_path / "codes" / "made_of.json").read_text())
    (tmp_path / "codes" / "made_of.json").unlink()
    assert record["files"].keys() >= {"query_codes.npy"}
    assert stored.array(tmp_path / "codes" / "query_codes.npy", "uint8", 2).shape[1] == 2
