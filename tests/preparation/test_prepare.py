"""The stage ``prepare`` by its command: killed, run again, and its output whole or not there."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.preparation import arrays
from pipeline.preparation.decoding import CHUNK
from pipeline.runtime.outputs import atomic_folder
from tests.conftest import Project, copy_project
from tests.preparation.helpers import contents

IMAGES = 4000


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = copy_project(tmp_path / "project")
    project.edit("study", "drawn")
    shapes = {"name": "shapes", "path": None, "images": IMAGES, "seed": 0, "side": 64}
    project.edit("dataset", {**shapes, "image_size": 32, "on_bad_image": "error"})
    return project


@pytest.mark.slow
def test_a_killed_prepare_goes_on_where_it_was(project: Project, tmp_path: Path) -> None:
    data, aside = project.results / "data" / "prepared", project.results / ".partial" / "data-prepared"
    journal = aside / "journal.jsonl"
    run = subprocess.Popen(
        [sys.executable, "-m", "stages.prepare"], cwd=project.folder, env=project.env, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 4):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not data.exists()
    # A mark on what is done: it would be gone if those images were drawn again.
    head, first, *rest = journal.read_text().splitlines()
    start, _, _ = json.loads(first)
    images = np.load(aside / "images.npy", mmap_mode="r+")
    images[start] = 77
    images.flush()
    digest = hashlib.sha256(images[start : start + CHUNK].tobytes()).hexdigest()
    journal.write_text("\n".join([head, json.dumps([start, digest, []]), *rest]))

    assert "prepare" in project.repro("prepare")
    assert not aside.parent.exists()
    resumed = arrays.load(data).images
    assert (resumed[start] == 77).all()
    project.run(sys.executable, "-m", "stages.prepare")
    anew = arrays.load(data).images
    assert len(anew) == IMAGES
    assert [row for row in range(IMAGES) if (anew[row] != resumed[row]).any()] == [start]


# Folders that a block can go on with.


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_to_resume_keeps_what_a_failed_block_left(tmp_path: Path, kind: type[BaseException]) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(kind), atomic_folder(target, aside, resume=True) as folder:
        (folder / "half.txt").write_text("half")
        raise kind
    assert contents(target) == {"old.txt": b"old"}
    assert contents(aside) == {"half.txt": b"half"}


def test_a_folder_to_resume_goes_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    aside.mkdir(parents=True)
    (aside / "half.txt").write_text("half")
    with atomic_folder(target, aside, resume=True) as folder:
        assert contents(folder) == {"half.txt": b"half"}
        (folder / "rest.txt").write_text("rest")
        assert not target.exists()
    assert contents(target) == {"half.txt": b"half", "rest.txt": b"rest"}
    assert not aside.parent.exists()


def test_a_folder_to_resume_replaces_what_was_there(tmp_path: Path) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with atomic_folder(target, aside, resume=True) as folder:
        (folder / "new.txt").write_text("new")
    assert contents(target) == {"new.txt": b"new"}
    assert not aside.parent.exists()


def test_a_folder_without_resume_removes_what_one_with_it_left(tmp_path: Path) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    with pytest.raises(ValueError), atomic_folder(target, aside, resume=True) as folder:
        (folder / "half.txt").write_text("half")
        raise ValueError
    with atomic_folder(target, aside) as folder:
        assert not contents(folder)
    assert not aside.parent.exists()
