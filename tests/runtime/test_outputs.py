"""Outputs appear whole or not at all, and what is there stays until its successor can take its place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.outputs import atomic_folder
from tests.conftest import ROOT


def put(target: Path, text: str) -> None:
    with atomic_folder(target, target.parent / ".partial" / target.name) as folder:
        (folder / "out.txt").write_text(text)


def test_an_output_stays_where_its_successor_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "results" / "made"
    put(target, "first")
    replace = os.replace

    def refusing(source: Path, place: Path) -> None:
        if Path(place) == target and not Path(source).name.endswith(".before"):
            raise OSError(28, "No space left on device")
        replace(source, place)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(OSError, match="No space"):
        put(target, "second")
    assert (target / "out.txt").read_text() == "first"
    monkeypatch.undo()
    put(target, "third")
    assert (target / "out.txt").read_text() == "third"
    assert [path.name for path in target.parent.iterdir()] == ["made"], "nothing is left beside it"


@pytest.mark.parametrize(
    ("command", "collecting"),
    [
        (["-c", "import stages, gc; print(gc.isenabled())"], "True"),
        (["-c", "import sys, runpy, gc; sys.argv = ['-m']; import stages; print(gc.isenabled())"], "False"),
    ],
)
def test_whoever_imports_stages_keeps_the_garbage_collector(command: list[str], collecting: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == collecting
