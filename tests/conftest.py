"""A real project in a temporary folder: the repository's files, a small study, real DVC, real MLflow."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from pipeline.params.check import NO_FILES
from pipeline.runtime import numerics

# As in stages and workers: torch and NumPy read this when they are imported.
numerics.apply(Path(__file__).parent.parent / "params.yaml")

# One thread a worker: torch's threads of several workers on the same cores would wait for each other. What
# torch is given later (compute.threads) still counts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests interrupt what they start, which would ignore that where the suite itself runs in the background of a script.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
COPIED = ("cells", "pipeline", "published", "stages", "studies", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml")

# What would change how a project's commands behave; make's own, where `make test` runs the tests.
SETTINGS = ("MLFLOW_", "DVC_", "MAKE", "MFLAGS")


#: Fixtures that run DVC, training, a server or a browser: tests that use one are ``slow``.
SLOW_FIXTURES = {
    "finished", "first_repro", "quick", "committed", "by_dvc", "chromium", "imports", "first", "submitted",
}  # fmt: skip
#: Files and folders of tests that do so by themselves.
SLOW_PLACES = (
    "operations/", "report/test_figures.py", "report/test_files.py", "training/test_loop.py", "test_chain.py",
    "test_make.py", "test_extending.py", "test_raw_files.py",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _mark_slow(items)
    _keep_groups_together(config, items)
    _skip_without_cuda(items)


def _mark_slow(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(ROOT / "tests").as_posix()
        if place.startswith(SLOW_PLACES) or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def _keep_groups_together(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests of an ``xdist_group`` to one worker, which alone builds what they share.

    pytest-xdist 3.8 writes a test's group where pytest 9.2 no longer reads it (pytest-xdist, issue 1386), so without
    this every worker builds everything.
    """
    if not getattr(config.option, "loadgroup", False):  # set by pytest-xdist in its workers
        return
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(f"@{mark.args[0]}"):
            item._id = type(item.id).parse(f"{item.nodeid}@{mark.args[0]}")
            assert item.nodeid.endswith(f"@{mark.args[0]}")


def _skip_without_cuda(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none, and say so."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting:
        import torch

        if not torch.cuda.is_available():
            for item in wanting:
                item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


def at(content: Any, path: str) -> tuple[Any, str]:
    """The section that holds a value of params.yaml, and the value's key in it, given its dotted path."""
    *parents, last = path.split(".")
    for key in parents:
        content = content[key]
    return content, last


class Project:
    """A copy of the repository that a test may edit and run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(SETTINGS)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.params["study"]

    @property
    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.folder / "params.yaml").read_text())
        return content

    def edit(self, path: str, value: Any) -> None:
        """Set one value of params.yaml by its dotted path."""
        content = self.params
        place, last = at(content, path)
        place[last] = value
        given = {
            "dataset": content["dataset"]["path"],
            "weights": content["backbone"]["weights"],
            "lists": content["split"].get("folder"),
        }
        content["watch"] = {name: [] if path in (None, *NO_FILES) else ["always"] for name, path in given.items()}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def append(self, file: str, text: str) -> None:
        with (self.folder / file).open("a") as stream:
            stream.write(text)

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=600
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def repro(self, *arguments: str, **env: str) -> list[str]:
        """`dvc repro`; returns the addresses of the stages that ran or were restored, in order."""
        lines = self.run("dvc", "repro", *arguments, **env).stdout.splitlines()
        return [
            line.split("'")[1]
            for line in lines
            if line.startswith(("Running stage", "Stage '")) and "didn't" not in line
        ]


@cache
def _copied() -> Path:
    """The repository's files with git and DVC set up, which takes a second; projects start as copies of it."""
    made = TemporaryDirectory()
    atexit.register(made.cleanup)
    folder = Path(made.name) / "project"
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
        elif source.exists():
            shutil.copy(source, folder / name)
    project = Project(folder)
    project.run("git", "init", "-q")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "Test")
    project.run("dvc", "init", "-q")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    project.run("dvc", "config", "core.analytics", "false")
    return folder


def copy_project(folder: Path) -> Project:
    shutil.copytree(_copied(), folder, dirs_exist_ok=True)
    return Project(folder)


def grid(**given: list[Any]) -> dict[str, list[Any]]:
    """The section ``grid``: one cell, unless another list is given."""
    one: dict[str, list[Any]] = {"methods": ["csq"], "quantizers": ["original"], "bits": [16], "seeds": [0]}
    return {**one, "training_free": [], **given}


#: Two methods with two quantizers, two seeds: eight cells.
EIGHT = grid(methods=["csq", "dsdh"], quantizers=["original", "wr"], seeds=[0, 1])


def make_small(project: Project) -> None:
    """Eight cells of two epochs."""
    content = project.params
    content["study"] = "small"
    content["grid"] = EIGHT
    content["training"] |= {"epochs": 2}
    content["evaluation"] |= {"precision_at": [10, 100]}
    content["informativeness"] |= {"steps": 20, "restarts": 2}
    content["visualize"] |= {"seeds": []}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Project]:
    """The small study, run to its end by a real `dvc repro`. Tests that use it read, or put back what they edit."""
    if request.config.getoption("loadgroup", False):
        # Else nobody would notice but by the clock.
        mark = tmp_path_factory.getbasetemp().parent / "finished-is-made"
        assert not mark.exists(), "two workers make the finished study: an xdist_group isn't kept together"
        mark.touch()
    project = copy_project(tmp_path_factory.mktemp("finished"))
    make_small(project)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    project.repro()
    yield project


STAND_IN = '''\
"""Stands in for a stage: its outputs say what it was given, so a change travels on as it would for real."""
import hashlib, sys
from pathlib import Path
import yaml

stage, arguments = sys.argv[1], sys.argv[2:]
params = yaml.safe_load(Path("params.yaml").read_text())
root = Path("results") / params["study"]
cell = "-".join(arguments[1::2])

def of(*things):
    total = hashlib.sha256()
    for thing in things:
        files = sorted(thing.rglob("*")) if isinstance(thing, Path) and thing.is_dir() else [thing]
        for file in files:
            if isinstance(file, Path):
                total.update(file.read_bytes() if file.is_file() else b"")
            else:
                total.update(repr(file).encode())
    return total.hexdigest()

def put(folder, text, name="out.txt"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)

if stage == "prepare":
    put(root / "data" / "prepared", of(params["dataset"]), "manifest.json")
    put(root, "", "data.prepared.made_of.json")
elif stage == "split":
    put(root / "splits" / cell, of(params["split"], cell, root / "data"), "split.json")
    put(root, "", f"splits.{cell}.made_of.json")
elif stage == "shared":
    declared = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][f"shared-{cell}"]
    sections = [params[name.split(".")[0]] for name in declared.get("params", [])]
    put(root / "shared" / cell / "code_and_params", of(*map(Path, declared["deps"]), *sections))
elif stage == "tune":
    method, quantizer, bits = arguments[1::2]
    tried = (params["candidates"][quantizer], params["methods"][method]) if params["tune"] else ()
    put(root / "tuning" / cell, of(cell, params["tune"], *tried), "choice.json")
elif stage == "train":
    method, quantizer, bits, seed = arguments[1::2]
    put(root / "train" / cell, of(cell, params["methods"][method], params["quantizers"][quantizer],
        Path("pipeline/methods", method + ".py").read_text(), root / "splits" / seed, root / "shared" / "train",
        root / "tuning" / f"{method}-{quantizer}-{bits}"))
elif stage == "encode":
    put(root / "codes" / cell, of(root / "train" / cell, root / "shared" / "encode"))
elif stage == "evaluate":
    put(root / "metrics" / cell, of(root / "codes" / cell, root / "shared" / "evaluate"))
elif stage == "informativeness":
    name, part = "-".join(arguments[1:8:2]), arguments[9]
    put(root / "metrics" / f"{name}.informativeness-{part}", of(root / "codes" / name, root / "shared" / stage))
elif stage in ("timing", "batch_size", "visualize", "visualize_inputs"):
    values = arguments[1::2]
    name = {"timing": "{}.timing-{}", "batch_size": "{}-{}-{}.batch-{}-{}", "visualize": "{}-{}-{}-{}.visualize",
            "visualize_inputs": "inputs.visualize-{}"}[stage]
    put(root / "metrics" / name.format(*values), of(stage, *values))
elif stage == "aggregate":
    put(root / "tables", of(root / "metrics", params["grid"], params["statistics"]), "metrics.json")
elif stage == "report":
    put(root / "report", of(root / "tables", Path("pipeline/report")), "index.html")
'''


@pytest.fixture
def quick(tmp_path: Path) -> Project:
    """The small study with stand-ins for the stages: what DVC does, without the time that training takes."""
    return make_quick(tmp_path / "quick")


def make_quick(folder: Path) -> Project:
    project = copy_project(folder)
    make_small(project)
    (project.folder / "standin.py").write_text(STAND_IN)
    for file in project.folder.rglob("dvc.yaml"):
        file.write_text(file.read_text().replace("python -m stages.", "python standin.py "))
    return project
