"""What a result was made of is recorded with it, and nothing takes it for what other params or code would make."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.provenance import Present
from tests.conftest import Project, copy_project, make_small
from tests.records import recorded

pytestmark = pytest.mark.xdist_group("finished")

CELL = Cell("dsdh", "wr", 16, 1)
Study = tuple[dict[str, Any], Layout]


@pytest.fixture
def study(finished: Project, tmp_path: Path) -> Study:
    """The finished study's params, and a copy of its results to do harm to."""
    shutil.copytree(finished.results, tmp_path / "results" / "small")
    return finished.params, Layout("small", tmp_path)


def reasons(params: dict[str, Any], layout: Layout) -> dict[str, str]:
    now = Present(params, layout.folder)
    return {cell.name: now.why_not(layout.metrics(cell)) for cell in cells_of(params["grid"])}


def test_every_output_of_a_finished_study_says_what_it_was_made_of(study: Study) -> None:
    params, layout = study
    now = Present(params, layout.folder)
    folders = [layout.data, layout.tables, layout.report]
    for stage in ("codes", "metrics", "splits", "train", "tuning"):
        folders += [folder for folder in (layout.folder / stage).iterdir() if folder.is_dir()]
    folders += list((layout.folder / "shared").glob("*/code_and_params"))
    assert len(folders) == 41
    assert {folder.name: now.why_not(folder) for folder in folders} == {folder.name: "" for folder in folders}


def test_a_record_names_code_params_inputs_and_files(study: Study) -> None:
    _, layout = study
    made = json.loads((layout.metrics(CELL) / "made_of.json").read_text())
    assert made["item"] == {"method": "dsdh", "quantizer": "wr", "bits": 16, "seed": 1}
    assert made["params"].keys() == {"evaluation"}
    assert made["files"].keys() == {"metrics.json", "history.csv", "curves.csv", "bits.csv"}
    trained = made["made_by"]["train/dsdh-wr-16-1"]
    assert {"pipeline/methods/dsdh.py", "pipeline/quantizers/wr.py", "pipeline/training/loop.py"} <= trained[
        "code"
    ].keys()
    assert trained["params"].keys() == {
        "backbone", "compute", "features", "head", "methods.dsdh", "quantizers.wr", "training",
    }  # fmt: skip

    manifest = json.loads((layout.data / "manifest.json").read_text())
    split = json.loads((layout.split(1) / "split.json").read_text())
    assert trained["inputs"]["data/prepared"] == manifest["content_hash"]
    assert trained["inputs"]["splits/1"] == split["split_hash"]


@pytest.mark.parametrize(
    ("path", "value", "said", "cells"),
    [
        ("training.epochs", 3, "training.epochs: 2 -> 3", lambda cell: True),
        ("evaluation.ties", "stable", "evaluation.ties: expected -> stable", lambda cell: True),
        ("quantizers.wr.weight", 0.5, "quantizers.wr.weight: 0.1 -> 0.5", lambda cell: cell.quantizer == "wr"),
        ("methods.dsdh.mu", 0.5, "methods.dsdh.mu: 0.1 -> 0.5", lambda cell: cell.method == "dsdh"),
        ("split.per_class.train", 40, "split.per_class.train: 50 -> 40", lambda cell: True),
        ("dataset.image_size", 16, "dataset.image_size: 8 -> 16", lambda cell: True),
        ("tune", {"seeds": [9]}, "tune: None -> {'seeds': [9]}", lambda cell: True),
        ("statistics.paired", False, "", lambda cell: False),
        ("dataset.path", "/elsewhere", "", lambda cell: False),
        ("sweep.workers", 7, "", lambda cell: False),
    ],
)
def test_a_param_concerns_the_cells_that_depend_on_it(
    path: str, value: Any, said: str, cells: Callable[[Cell], bool], study: Study
) -> None:
    params, layout = study
    *parents, last = path.split(".")
    place = params
    for key in parents:
        place = place[key]
    place[last] = value
    found = reasons(params, layout)
    for cell in cells_of(params["grid"]):
        if cells(cell):
            assert found[cell.name] == f"made with other params ({said})"
        else:
            assert found[cell.name] == ""


def test_other_code_is_told_by_its_file(study: Study) -> None:
    params, layout = study
    for stage, name in (("train", "pipeline/quantizers/wr.py"), ("metrics", "pipeline/retrieval")):
        file = (layout.metrics(CELL) if stage == "metrics" else layout.train(CELL)) / "made_of.json"
        before = file.read_text()
        record = json.loads(before)
        record["code"][name] = 64 * "0"
        file.write_text(json.dumps(record))
        found = reasons(params, layout)
        expected = {CELL.name: f"made by other code ({name} has changed)"} if stage == "metrics" else {}
        assert {name: why for name, why in found.items() if why} == expected
        file.write_text(before)


def test_weights_trained_anew_make_the_metrics_of_earlier_ones_no_result(study: Study) -> None:
    """As where training succeeded and evaluation failed."""
    params, layout = study
    (layout.train(CELL) / "history.csv").write_text("epoch\n1\n")
    recorded(params, layout, "train", CELL, layout.train(CELL))
    found = reasons(params, layout)
    assert found.pop(CELL.name) == f"made from another {layout.train(CELL)}"
    assert set(found.values()) == {""}


def test_metrics_alone_are_enough(study: Study) -> None:
    """As after `dvc pull` of the metrics."""
    params, layout = study
    for folder in (layout.data, layout.folder / "train", layout.folder / "codes", layout.all_tuning):
        shutil.rmtree(folder)
    assert set(reasons(params, layout).values()) == {""}
    params["methods"]["dsdh"]["mu"] = 0.5
    assert "methods.dsdh.mu" in reasons(params, layout)[CELL.name]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"stage": "evaluate"}'])
def test_a_result_that_nothing_speaks_of_is_none(text: str | None, study: Study) -> None:
    params, layout = study
    file = layout.metrics(CELL) / "made_of.json"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert reasons(params, layout)[CELL.name] == f"{file.parent} has no record of what it was made from"


def test_data_of_another_make_are_told(study: Study) -> None:
    params, layout = study
    manifest = json.loads((layout.data / "manifest.json").read_text()) | {"content_hash": 64 * "1"}
    (layout.data / "manifest.json").write_text(json.dumps(manifest))
    assert all("data" in reason for reason in reasons(params, layout).values())


def test_tables_are_of_the_cells_that_they_were_made_of(study: Study) -> None:
    params, layout = study
    file = layout.metrics(CELL) / "metrics.json"
    file.write_text(file.read_text().replace("1", "2"))
    recorded(params, layout, "evaluate", CELL, file.parent)
    now = Present(params, layout.folder)
    assert now.why_not(layout.tables) == f"made from another {layout.all_metrics}"
    assert now.why_not(layout.report) == f"made from another {layout.all_metrics}"


def test_names_as_dvc_fills_them_in(finished: Project) -> None:
    """Code, params and inputs are those of DVC's lock files."""
    import yaml

    params = finished.params
    for stage, item in (("train", CELL), ("evaluate", CELL), ("encode", CELL)):
        lock = yaml.safe_load((finished.folder / "cells" / stage / "dvc.lock").read_text())
        entry = lock["stages"][f"{stage}@{item.name}"]
        record = provenance.begun(stage, vars(item), params, finished.results)
        results = f"results/{params['study']}/"
        by_dvc = {dep["path"] for dep in entry["deps"] if f"{results}shared/" not in dep["path"]}
        ours = {f"{results}{path}" for path in record.inputs} | set(record.code)
        # The folder of the prepared data and the features is recorded as the outputs in it.
        assert all(path in ours or any(one.startswith(f"{path}/") for one in ours) for path in by_dvc)
        shared = yaml.safe_load((finished.folder / "dvc.lock").read_text())["stages"][f"shared-{stage}"]
        assert {dep["path"] for dep in shared["deps"]} <= set(record.code)
        names = [one["params"]["params.yaml"].keys() for one in (entry, shared) if "params" in one]
        assert record.params.keys() == set().union(*names)


# By the commands that people type.

#: An evaluation that is large enough to be compiled.
LARGE = """
import numpy as np
from pipeline.retrieval import evaluate
draw = np.random.default_rng(0)
codes, labels = draw.choice([-1.0, 1.0], (60_000, 8)), np.eye(2, dtype=np.uint8)[draw.integers(0, 2, 60_000)]
evaluate(codes[:400], labels[:400], codes, labels)
"""


@pytest.fixture
def harmed(finished: Project) -> Iterator[Project]:
    """The finished project, put back afterwards."""
    before = {name: (finished.folder / name).read_text() for name in ("params.yaml", "pipeline/quantizers/wr.py")}
    yield finished
    for name, text in before.items():
        (finished.folder / name).write_text(text)
    finished.run("dvc", "checkout", "-q", "--force")
    finished.repro()
    shutil.rmtree(finished.results / "failed", ignore_errors=True)


def table(project: Project) -> dict[str, dict[str, Any]]:
    rows = json.loads((project.results / "tables" / "results.json").read_text())
    return {f"{row['method']}-{row['quantizer']}": row for row in rows}


def test_cells_that_failed_have_no_numbers_in_the_report(harmed: Project) -> None:
    harmed.append("pipeline/quantizers/wr.py", "\nraise RuntimeError('broken')\n")
    done = harmed.run("dvc", "repro", "--keep-going", check=False)
    assert done.returncode and "broken" in done.stderr
    for stage in ("aggregate", "report"):
        harmed.run("python", "-m", f"stages.{stage}")
    found = table(harmed)
    assert {name: row["n"] for name, row in found.items()} == {
        "csq-original": 2, "csq-wr": 0, "dsdh-original": 2, "dsdh-wr": 0,
    }  # fmt: skip
    assert found["dsdh-wr"]["map_mean"] is None
    assert found["dsdh-wr"]["map_note"] == "missing: train: RuntimeError: broken"
    page = (harmed.results / "report" / "index.html").read_text()
    assert "train: RuntimeError: broken" in page


def test_a_rule_that_nothing_was_evaluated_by_is_not_stated_over_numbers(harmed: Project) -> None:
    harmed.edit("evaluation.ties", "stable")
    done = harmed.run("python", "-m", "stages.aggregate", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no cell has metrics" in line and "evaluation.ties: expected -> stable" in line and "dvc repro" in line
    shown = harmed.run("python", "-m", "pipeline", "results")
    assert "evaluation.ties: expected -> stable" in shown.stdout


def test_what_numba_keeps_beside_the_code_is_no_code(finished: Project) -> None:
    """An evaluation of more than some million pairs compiles, and Numba keeps that in ``__pycache__``."""
    kept = finished.folder / "pipeline" / "retrieval" / "__pycache__"
    before = set(kept.glob("*.nb*"))
    finished.run("python", "-c", LARGE)
    assert set(kept.glob("*.nbi")) - before, "nothing was compiled"
    assert "not up to date" not in finished.run("python", "-m", "pipeline", "results").stdout
    assert finished.repro() == []


def test_mlflow_gets_no_run_of_what_never_was(harmed: Project) -> None:
    """Params of one branch, results of another: `git checkout` without `dvc checkout`."""
    harmed.edit("training.epochs", 1)
    harmed.edit("training.validate_every", 1)
    done = harmed.run("python", "-m", "pipeline", "track", MLFLOW_TRACKING_URI=f"sqlite:///{harmed.folder}/never.db")
    assert done.stdout.startswith("0 cells of 'small' are in MLflow; 8 more have results of other params or code")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{harmed.folder}/never.db")
    assert client.search_runs([client.get_experiment_by_name("small").experiment_id]) == []


@pytest.mark.slow
def test_a_study_survives_that_its_raw_data_move(tmp_path: Path) -> None:
    from tests.datasets.making import photo

    project = copy_project(tmp_path / "project")
    make_small(project)
    for number in range(40):
        photo(tmp_path / "here" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    project.edit("dataset", {"name": "images", "path": str(tmp_path / "here"), "labels": None, "image_size": 8,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("split.per_class", {"query": 2, "validation": 2, "train": 8})
    project.edit("grid.methods", ["csq"])
    project.edit("grid.quantizers", ["original"])
    project.edit("training.batch_size", 8)
    project.repro()
    before = (project.results / "tables" / "results.csv").read_bytes()
    (tmp_path / "here").rename(tmp_path / "there")
    project.edit("dataset.path", str(tmp_path / "there"))
    project.run("python", "-m", "stages.aggregate")
    assert (project.results / "tables" / "results.csv").read_bytes() == before
    ran = project.repro()
    assert not [name for name in ran if "train" in name]
    assert (project.results / "tables" / "results.csv").read_bytes() == before
