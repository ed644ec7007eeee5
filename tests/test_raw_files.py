"""Raw files and weights are dependencies: what changes of them runs what is made of them, and nothing more."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.runtime.paths import fingerprint
from tests.conftest import Project, copy_project, grid, make_small
from tests.datasets.making import photo, text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Forty images with a file of labels, and weights to start from; one cell of one epoch."""
    from safetensors.torch import save_file

    from pipeline import backbones

    folder = tmp_path_factory.mktemp("raw")
    project = copy_project(folder / "project")
    make_small(project)
    for number in range(40):
        photo(folder / "pets" / f"{number}.png", number)
    lines = [f"{number}.png,{('cat', 'dog')[number % 2]}" for number in range(40)]
    text(folder / "pets" / "labels.csv", "\n".join(["path,label", *lines]) + "\n")
    state = {name: value.contiguous() for name, value in backbones.create("cnn", weights="none").state_dict().items()}
    save_file(state, folder / "cnn.safetensors")
    project.edit("dataset", {"name": "images", "path": str(folder / "pets"), "labels": "labels.csv", "image_size": 8,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("backbone.weights", str(folder / "cnn.safetensors"))
    project.edit("split.per_class", {"query": 2, "validation": 2, "train": 8})
    project.edit("grid", grid())
    project.edit("training.batch_size", 8)
    project.repro()
    return project


def ran(project: Project, *targets: str) -> set[str]:
    """The kinds of stages that ran, without those that look at files; of all stages, or of those up to ``targets``."""
    kinds = {stage.split(":")[-1].split("@")[0] for stage in project.repro(*targets)}
    assert ({"files-dataset"} if targets else {"files-dataset", "files-weights"}) <= kinds
    return kinds - {"files-dataset", "files-weights"}


def test_changed_raw_files_are_noticed(made: Project) -> None:
    pets = made.folder.parent / "pets"
    assert ran(made) == set(), "nothing has changed"
    status = made.run("dvc", "status").stdout.split()
    assert " ".join(status) == "files-dataset@always: always changed files-weights@always: always changed"

    photo(pets / "3.png", 1000)  # replaced
    assert {"prepare", "split", "train"} <= ran(made), "the cells too"
    lines = (pets / "labels.csv").read_text()
    text(pets / "labels.csv", lines.replace("4.png,cat\n", "4.png,dog\n", 1))
    assert {"prepare", "split"} <= ran(made, "split")
    os.remove(pets / "5.png")
    done = made.run("dvc", "repro", "split", check=False)
    assert done.returncode and "5.png" in done.stderr, "a line of the list has no image"
    text(pets / "labels.csv", (pets / "labels.csv").read_text().replace("\n5.png,dog\n", "\n"))
    assert {"prepare", "split"} <= ran(made, "split")
    photo(pets / "more" / "new.png", 7)
    text(pets / "labels.csv", (pets / "labels.csv").read_text() + "more/new.png,cat\n")
    assert {"prepare", "split"} <= ran(made, "split")
    assert ran(made, "split") == set()

    os.utime(pets / "6.png")  # another time, the same image
    assert ran(made, "split") == {"prepare"}, "the arrays are the same bytes, so nothing further"
    (pets / ".DS_Store").write_text("x")
    assert ran(made, "split") == set()


def test_replaced_weights_are_noticed(made: Project) -> None:
    from safetensors.torch import load_file, save_file

    made.repro()
    file = made.folder.parent / "cnn.safetensors"
    os.utime(file)
    assert ran(made) == set(), "the same bytes"
    save_file(
        {name: value * 1.5 if value.is_floating_point() else value for name, value in load_file(file).items()}, file
    )
    kinds = ran(made)
    assert {"tune", "train"} <= kinds and "prepare" not in kinds


def test_who_has_no_raw_files_keeps_what_was_made_of_them(made: Project) -> None:
    made.repro()
    shutil.move(made.folder.parent / "pets", made.folder.parent / "away")
    try:
        assert ran(made) == set()
    finally:
        shutil.move(made.folder.parent / "away", made.folder.parent / "pets")


def test_what_a_fingerprint_is_of(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/y.png"):
        text(tmp_path / "here" / name, name)
    first = fingerprint(tmp_path / "here")
    assert (first["files"], first["bytes"]) == (2, 14)
    (tmp_path / "here").rename(tmp_path / "there")
    assert fingerprint(tmp_path / "there") == first, "the place doesn't count"
    (tmp_path / "there" / "a" / "x.png").rename(tmp_path / "there" / "a" / "z.png")
    assert fingerprint(tmp_path / "there") != first
    text(tmp_path / "one.zip", "x")
    before = fingerprint(tmp_path / "one.zip")
    time.sleep(0.01)
    text(tmp_path / "one.zip", "y")
    assert fingerprint(tmp_path / "one.zip") != before
    assert json.dumps(before)


@pytest.mark.parametrize(
    ("path", "watch", "line"),
    [
        (None, ["always"], "watch.dataset: expected [], since dataset.path names no file"),
        (
            "/data/x",
            [],
            "watch.dataset: expected [always], so that changed files are noticed, since dataset.path is /data/x",
        ),
    ],
)
def test_watching_goes_with_the_path(path: str | None, watch: list[str], line: str) -> None:
    from pipeline import params as gate
    from pipeline.runtime.yaml12 import parse
    from tests.conftest import ROOT

    content = parse((ROOT / "params.yaml").read_text())
    content["dataset"] = {"name": "images", "path": path, "labels": None, "image_size": 8, "on_bad_image": "error"}
    content["watch"]["dataset"] = watch
    assert [problem for problem in gate.check(content) if "watch" in problem] == [f"{line}; found {watch}"]
