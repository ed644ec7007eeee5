"""dvc.yaml: what re-runs after an edit, and that every module a stage uses is among its dependencies."""

import ast
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.runtime.registry import file_names
from tests.conftest import ROOT, Project, make_quick


def kinds(stages: list[str]) -> Counter[str]:
    """How many stages of each kind ran: ``cells/train/dvc.yaml:train@csq-wr-16-0`` is a train."""
    return Counter(stage.split(":")[-1].split("@")[0] for stage in stages)


CELLS = 8
WHOLE = {
    "prepare": 1, "split": 2, "tune": 4, "shared-prepare": 1, "shared-split": 1, "shared-features": 1, "shared-tune": 1,
    "shared-train": 1, "shared-encode": 1, "shared-evaluate": 1, "shared-informativeness": 1,
    "train": CELLS, "encode": CELLS, "evaluate": CELLS, "aggregate": 1, "report": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def first_repro(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[str]]:
    """The quick study after its first `dvc repro`, and the stages that it ran."""
    project = make_quick(tmp_path_factory.mktemp("quick") / "project")
    return project, project.repro()


@pytest.fixture
def complete(first_repro: tuple[Project, list[str]], tmp_path: Path) -> Project:
    """A copy of it to go on from."""
    shutil.copytree(first_repro[0].folder, tmp_path / "quick", symlinks=True)
    return Project(tmp_path / "quick")


# One worker runs the quick study for the first time.
after_first_repro = pytest.mark.xdist_group("quick")


@after_first_repro
def test_what_reruns_after_each_edit(complete: Project, first_repro: tuple[Project, list[str]]) -> None:
    quick = complete
    assert kinds(first_repro[1]) == WHOLE
    assert quick.repro() == []

    quick.edit("quantizers.wr.weight", 0.5)
    ran = quick.repro()
    assert kinds(ran) == {"tune": 2, "train": 4, "encode": 4, "evaluate": 4, "aggregate": 1, "report": 1}
    assert all("-wr-" in stage for stage in ran if "@" in stage)

    quick.append("pipeline/report/page.py", "\n# changed\n")
    assert kinds(quick.repro()) == {"report": 1}

    quick.append("pipeline/methods/dsdh.py", "\n# changed\n")
    ran = quick.repro()
    assert kinds(ran) == {"tune": 2, "train": 4, "encode": 4, "evaluate": 4, "aggregate": 1, "report": 1}
    assert all("@dsdh-" in stage for stage in ran if "@" in stage)

    quick.append("pipeline/quantizers/wr.py", "\n# changed\n")
    ran = quick.repro()
    assert kinds(ran)["train"] == 4
    assert all("-wr-" in stage for stage in ran if "train@" in stage)

    quick.append("pipeline/training/loop.py", "\n# changed\n")
    assert kinds(quick.repro()) == {
        "shared-tune": 1, "tune": 4, "shared-train": 1, "train": 8, "encode": 8, "evaluate": 8, "aggregate": 1,
        "report": 1,
    }  # fmt: skip

    quick.edit("evaluation.top_k", 100)
    assert kinds(quick.repro()) == {"shared-evaluate": 1, "evaluate": 8, "aggregate": 1, "report": 1}

    quick.edit("informativeness.parts", ["database"])
    assert kinds(quick.repro()) == {
        "shared-informativeness": 1, "informativeness": 8, "aggregate": 1, "report": 1,
    }, "and no training"  # fmt: skip
    quick.edit("informativeness.parts", [])
    assert set(kinds(quick.repro())) <= {"shared-informativeness", "aggregate", "report"}

    quick.edit("tune", {"seeds": [100]})
    assert kinds(quick.repro()) == {
        "tune": 4, "train": 8, "encode": 8, "evaluate": 8, "aggregate": 1, "report": 1,
    }  # fmt: skip
    quick.edit("candidates.wr.weight", [0.1, 0.2])
    ran = quick.repro()
    assert kinds(ran)["tune"] == 2, "wr's alone"
    assert all("-wr-" in stage for stage in ran if "@" in stage)

    asked = {
        "timing": {"methods": ["dsdh"], "batch_sizes": [16, 32]},
        "batch_size": {"methods": ["csq"], "values": [16]},
    }
    asked["visualize"] = {"methods": ["csq"], "quantizers": ["wr"], "bits": [16], "seeds": [0]}
    for section, values in asked.items():
        for key, value in values.items():
            quick.edit(f"{section}.{key}", value)
    assert kinds(quick.repro()) == {
        "timing": 2, "batch-size": 2, "visualize": 1, "visualize-inputs": 1, "aggregate": 1, "report": 1,
    }, "and no training of cells"  # fmt: skip

    quick.edit("statistics.paired", False)
    assert kinds(quick.repro()) == {"aggregate": 1, "report": 1}

    quick.append("pipeline/params/check.py", "\n# changed\n")
    assert quick.repro() == [], "checking params can't change a result"


@after_first_repro
def test_growing_and_shrinking_the_grid(complete: Project) -> None:
    quick = complete
    quick.edit("grid.seeds", [0, 1, 2])
    assert kinds(quick.repro()) == {
        "split": 1, "shared-tune": 1, "tune": 4, "train": 4, "encode": 4, "evaluate": 4, "aggregate": 1, "report": 1,
    }, "tuning looks at no query image of any seed"  # fmt: skip
    quick.edit("grid.methods", ["csq"])
    assert set(kinds(quick.repro())) <= {"aggregate", "report"}
    assert quick.repro() == []
    assert "up to date" in quick.run("dvc", "status").stdout


@after_first_repro
def test_a_new_method_needs_no_edit_of_the_graph(complete: Project) -> None:
    """Its file, its params, and its name in the grid."""
    quick = complete
    (quick.folder / "pipeline/methods/mine.py").write_text("# a new method\n")
    quick.edit("grid.methods", ["csq", "dsdh", "mine"])
    quick.edit("methods.mine", {})
    ran = quick.repro()
    assert kinds(ran) == {"tune": 2, "train": 4, "encode": 4, "evaluate": 4, "aggregate": 1, "report": 1}
    assert all("@mine-" in stage for stage in ran if "train@" in stage)


def covers(dependencies: list[str], module: Path) -> bool:
    return any(module == Path(d) or Path(d) in module.parents for d in dependencies)


def only_documentation(file: Path) -> bool:
    """A package whose file holds a docstring and nothing that could change a result."""
    return all(isinstance(node, ast.Expr) for node in ast.parse((ROOT / file).read_text()).body)


TOP = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def entries(stage: str) -> list[dict[str, Any]]:
    """What dvc.yaml says of a stage, and of the shared-* stages that it depends on."""
    cell = ROOT / "cells" / stage / "dvc.yaml"
    own = yaml.safe_load(cell.read_text())["stages"][stage] if cell.exists() else TOP[stage]
    return [own, *(TOP[f"shared-{path.rpartition('/')[2]}"] for path in own["deps"] if "/shared/" in path)]


def declared(stage: str) -> list[str]:
    """A stage's dependencies, those of the shared-* stage that it depends on included."""
    deps: list[str] = [dependency for entry in entries(stage) for dependency in entry["deps"]]
    values = {
        "${dataset.name}": "digits", "${split.protocol}": "counts",
        "${item.method}": "dsdh", "${item.quantizer}": "wr",
    }  # fmt: skip
    for key, value in values.items():
        deps = [dependency.replace(key, value) for dependency in deps]
    return deps


ARGUMENTS = {
    "split": ["--seed", "0"],
    "train": (cell := ["--method", "dsdh", "--quantizer", "wr", "--bits", "16", "--seed", "0"]),
    "encode": cell,
    "evaluate": cell,
    "informativeness": [*cell, "--part", "database"],
    "tune": cell[:-2],
    "timing": ["--method", "dsdh", "--batch-size", "32"],
    "batch-size": [*cell[:-2], "--batch-size", "32", "--seed", "100"],
    "visualize": cell,
    "visualize-inputs": ["--seed", "0"],
}
STAGES = list(dict.fromkeys(["prepare", *ARGUMENTS, "aggregate", "report"]))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_uses_the_device_says_so(stage: str) -> None:
    """The sweep gives it a GPU and compute.threads cores, by ``meta`` alone."""
    found = entries(stage)
    uses = any("compute" in entry.get("params", []) for entry in found)
    assert found[0].get("meta", {}).get("on_device", False) == (uses and stage != "aggregate")


@pytest.fixture(scope="module")
def imports(finished: Project) -> dict[str, list[str]]:
    """Every module that each stage imports while it really runs."""
    found = {}
    for stage in STAGES:
        command = ["python", "-X", "importtime", "-m", f"stages.{stage.replace('-', '_')}", *ARGUMENTS.get(stage, [])]
        lines = finished.run(*command).stderr.splitlines()
        found[stage] = [line.split("|")[-1].strip() for line in lines if line.startswith("import time:")]
    return found


@pytest.mark.xdist_group("finished")
@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_is_a_dependency(stage: str, imports: dict[str, list[str]]) -> None:
    deps = declared(stage)
    assert f"stages/{stage.replace('-', '_')}.py" in deps
    for module in imports[stage]:
        if not re.match(r"(pipeline|stages)(\.|$)", module) or module.startswith("pipeline.params"):
            continue  # pipeline.params refuses or passes, it can't change a result (test_params.py)
        path = Path(*module.split("."))
        file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        assert covers(deps, file) or only_documentation(file), f"{stage} imports {file}, not among its deps"


@pytest.mark.parametrize(
    ("package", "stage"),
    [("methods", "tune"), ("methods", "train"), ("quantizers", "tune"), ("quantizers", "train"),
     ("datasets", "prepare"), ("protocols", "split"), ("backbones", "features"), ("backbones", "encode")],
)  # fmt: skip
def test_what_a_component_imports_is_a_dependency(package: str, stage: str) -> None:
    """Of every file, also those that no test's study uses; imports within functions included."""
    deps, folder = declared(stage), ROOT / "pipeline" / package
    for name in file_names(folder):
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom) and (ROOT / str(node.module).replace(".", "/")).is_dir():
                modules += [f"{node.module}.{alias.name}" for alias in node.names]
            for module in filter(lambda one: str(one).startswith("pipeline."), modules):
                path = Path(*str(module).split("."))
                file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
                known = not (ROOT / file).exists() or covers(deps, file) or only_documentation(file)
                assert known or "params" in file.parts, (
                    f"{package}/{name}.py imports {file}, not a dependency of {stage}"
                )


@pytest.mark.xdist_group("finished")
@pytest.mark.parametrize(
    ("stage", "unwanted"),
    [
        ("prepare", ["torch", "mlflow", "matplotlib"]),  # scikit-learn, which the digits come from, brings pandas
        ("split", ["torch", "mlflow", "pandas", "sklearn"]),
        ("tune", ["torch", "mlflow", "pandas", "scipy"]),  # where it is off
        ("visualize", ["torch", "mlflow", "matplotlib"]),
        ("train", ["mlflow", "torchvision", "pandas", "sklearn", "torch._dynamo"]),
        ("encode", ["mlflow", "torchvision", "pandas", "sklearn", "scipy", "torch._dynamo"]),
        ("evaluate", ["torch", "numba", "mlflow", "pandas", "scipy", "sklearn"]),
        ("informativeness", ["mlflow", "torchvision", "pandas", "sklearn", "scipy"]),
        ("aggregate", ["torch", "mlflow", "sklearn", "matplotlib"]),
        ("report", ["torch", "torchvision"]),
    ],
)
def test_a_stage_pays_only_for_what_it_uses(stage: str, unwanted: list[str], imports: dict[str, list[str]]) -> None:
    assert not set(unwanted) & set(imports[stage])


def test_a_grid_without_a_list_is_dvcs_to_report(quick: Project) -> None:
    """The grid is DVC's matrix, so DVC reads it before any stage does: one line, exit code not 0."""
    content = quick.params
    del content["grid"]["quantizers"]
    (quick.folder / "params.yaml").write_text(yaml.safe_dump(content))
    done: subprocess.CompletedProcess[str] = quick.run("dvc", "repro", check=False)
    assert done.returncode
    assert "grid.quantizers" in done.stderr
