"""From locks that are committed to other data, another protocol and another grid, and back, with the real stages."""

import shutil
from pathlib import Path

import yaml

from tests.conftest import ROOT, Project, copy_project, make_small


def swept(project: Project) -> str:
    """Sweep, and see that DVC finds nothing left to do."""
    said = project.run("python", "-m", "pipeline", "sweep", "--workers=2").stdout.splitlines()[-1]
    assert "up to date" in project.run("dvc", "status").stdout
    return said


def test_other_data_protocol_and_grid_from_committed_locks(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    for lock in ROOT.glob("**/dvc.lock"):
        if ".venv" not in lock.parts:
            shutil.copy(lock, project.folder / lock.relative_to(ROOT))
    make_small(project)
    project.edit("grid.methods", ["csq"])
    project.edit("grid.quantizers", ["original"])
    project.edit("study", "digits")  # the study that the locks are of
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    first = (project.folder / "params.yaml").read_text()
    assert "stages run" in swept(project)

    project.edit("dataset", {"name": "shapes", "path": None, "image_size": 8, "images": 400, "seed": 0, "side": 16,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("split", {"protocol": "hswd", "query": 40, "train": 100, "validation": 40})
    assert "stages run" in swept(project)
    assert yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]["prepare"]["params"]

    project.edit("grid.methods", ["dch"])
    project.edit("grid.quantizers", ["original", "hswd"])
    project.edit("grid.bits", [8])
    assert "stages run" in swept(project)

    (project.folder / "params.yaml").write_text(first)
    said = swept(project)
    assert said.startswith("1 stages run") or "restored" in said
