"""Projects whose stages take no time, run as function calls by a real sweep and as scripts by a real `dvc repro`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import EIGHT, Project, copy_project

#: stage -> its kind, what its function takes beside params, its folder, and what its output says
STAGES = {
    "prepare": ("stage(main)", "", "layout.data", "params['dataset']"),
    "split": ("stage(main, seed=int)", ", seed", "layout.split(seed)", "seed, params['split'], read(layout.data)"),
    "shared": ("stage(main, of=str)", ", of", "layout.shared(of)", "of"),
    "tune": ("group_stage(main)", ", about", "layout.tuning(about)", "params['tune']"),
    "train": (
        "cell_stage(main)", ", about", "layout.train(about)",
        "params['methods'][about.method], params['quantizers'][about.quantizer], read(layout.split(about.seed))",
    ),
    "encode": ("cell_stage(main)", ", about", "layout.codes(about)", "read(layout.train(about))"),
    "evaluate": ("cell_stage(main)", ", about", "layout.metrics(about)", "read(layout.codes(about))"),
    "aggregate": ("stage(main)", "", "layout.tables", "[read(one) for one in sorted(layout.all_metrics.iterdir())]"),
    "report": ("stage(main)", "", "layout.report", "read(layout.tables)"),
}  # fmt: skip
FILES = {"prepare": "manifest.json", "split": "split.json", "tune": "choice.json"}

STAND_IN = """\
import sys
from pathlib import Path

from pipeline.runtime.entry import {kind}
from pipeline.runtime.errors import UserError


def read(folder):
    return "".join(file.read_text() for file in sorted(folder.rglob("*")) if file.is_file())


def main(params, layout{given}):
    target = {folder}
    order = Path("orders") / f"{name}-{{target.name}}.py"
    if order.exists():
        exec(order.read_text())
    text = repr(({content},))
    with layout.atomic_output(target) as folder:
        (folder / "{file}").write_text(text)


STAGE = {declared}

if __name__ == "__main__":
    STAGE.main()
"""


class Swept(Project):
    """A project with stand-in stages, which do as they are ordered first (``order``)."""

    @property
    def orders(self) -> Path:
        return self.folder / "orders"

    def order(self, stage: str, name: str, text: str) -> None:
        """Python that one stage runs before its work."""
        self.orders.mkdir(exist_ok=True)
        (self.orders / f"{stage}-{name}.py").write_text(text)

    def sweep(self, *arguments: str, check: bool = True, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.run("python", "-m", "pipeline", "sweep", "--workers=2", *arguments, check=check, **env)

    def left(self) -> dict[str, bytes]:
        """All results, locks and DVC's cache, by path; without what a checkout leaves elsewhere for speed."""
        found = [
            *self.folder.glob("results/**/*"),
            *self.folder.rglob("dvc.lock"),
            *self.folder.glob(".dvc/cache/**/*"),
        ]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in found if file.is_file()}

    def copy(self, folder: Path) -> "Swept":
        """A second workspace with the same history."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Swept(folder)

    def ran(self) -> list[str]:
        """`dvc repro`; the stages that ran."""
        return re.findall(r"Running stage '(?:.*:)?(.*)'", self.run("dvc", "repro").stdout)


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two methods with two quantizers, two seeds: eight cells, 41 stages. Tests take copies."""
    project = Swept(copy_project(tmp_path_factory.mktemp("swept") / "project").folder)
    for name, (declared, given, folder, content) in STAGES.items():
        text = STAND_IN.format(
            kind=declared.split("(")[0], given=given, folder=folder, content=content, declared=declared, name=name,
            file=FILES.get(name, "out.txt"),
        )  # fmt: skip
        (project.folder / "stages" / f"{name}.py").write_text(text)
    content = project.params
    content["study"] = "swept"
    content["visualize"]["seeds"] = []
    content["grid"] = EIGHT
    (project.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    return project


@pytest.fixture
def swept(committed: Swept, tmp_path: Path) -> Swept:
    """Where nothing has been run."""
    return committed.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def by_dvc(committed: Swept) -> Swept:
    """What `dvc repro` leaves. Tests that go on from there take a copy; they are of the group "reproduced"."""
    project = committed.copy(committed.folder.parent / "reproduced")
    project.run("dvc", "repro")
    return project


@pytest.fixture
def reproduced(by_dvc: Swept, tmp_path: Path) -> Swept:
    """Where all has been run by `dvc repro`."""
    return by_dvc.copy(tmp_path / "reproduced")
