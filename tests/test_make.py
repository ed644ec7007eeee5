"""The Makefile, by real make, in folders whose names make and shells stumble over."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT, Project, copy_project, grid, make_small


def environment_of_ours(project: Project) -> None:
    """A virtual environment at its place that takes its packages from the one that runs the tests."""
    venv = project.folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = next(venv.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    script = venv / "bin" / "dvc"
    script.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m dvc "$@"\n')
    script.chmod(0o755)
    for stamp in (".repro", ".test"):
        (venv / stamp).touch()


def made(folder: Path) -> Project:
    project = copy_project(folder)
    for file in (ROOT / "Makefile", *ROOT.glob("requirements*.txt")):
        shutil.copy(file, project.folder / file.name)
    make_small(project)
    project.edit("grid", grid())
    environment_of_ours(project)
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part)
    project.env["PATH"] = path  # make finds the environment by itself
    return project


def test_no_target_leaves_a_folder_whose_name_has_blanks(tmp_path: Path) -> None:
    parent = 'phd notes é $HOME #1 & "more"'
    (tmp_path / parent.split()[0]).mkdir()
    (tmp_path / parent.split()[0] / "thesis.tex").write_text("years of work")
    project = made(tmp_path / parent / "h")
    assert "list the targets" in project.run("make").stdout
    assert "csq" in project.run("make", "repro").stdout
    assert (project.results / "report" / "index.html").exists()
    assert project.run("make", "track").stdout.startswith("1 cells of 'small' are in MLflow")
    assert (project.folder / "mlflow.db").exists() and list((project.folder / "mlruns").iterdir())
    assert "follow from them" in project.run("make", "verify").stdout
    project.run("make", "clean")
    assert not (project.folder / ".venv").exists()
    assert project.results.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({parent, parent.split()[0]})
    assert (tmp_path / parent.split()[0] / "thesis.tex").read_text() == "years of work"


def test_params_are_checked_before_dvc_meets_them(tmp_path: Path) -> None:
    project = made(tmp_path / "h")
    (project.folder / "params.yaml").write_text("")
    for target in ("repro", "sweep", "report", "track", "verify"):
        done = project.run("make", target, check=False)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
        assert lines == ["error: params.yaml: expected sections such as 'dataset:' and 'grid:', found none"], target


@pytest.mark.parametrize("crlf", ["true", "input", "false"])
def test_a_clone_has_the_same_bytes_whatever_git_does_with_ends_of_lines(tmp_path: Path, crlf: str) -> None:
    origin = copy_project(tmp_path / "origin")
    shutil.copy(ROOT / ".gitattributes", origin.folder / ".gitattributes")
    origin.run("git", "add", "-A")
    origin.run("git", "commit", "-q", "-m", "start")
    origin.run("git", "clone", "-q", "-c", f"core.autocrlf={crlf}", str(origin.folder), str(tmp_path / "clone"))
    for name in origin.run("git", "ls-files").stdout.splitlines():
        assert (tmp_path / "clone" / name).read_bytes() == (origin.folder / name).read_bytes(), name


@pytest.mark.parametrize("command", ["-m pipeline list", "-m pipeline sweep --dry-run"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, command: str) -> None:
    project = copy_project(tmp_path / "project")
    done = project.run("bash", "-c", f"set -o pipefail; python {command} | head -1", check=False)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert done.returncode == 0, done.stderr
