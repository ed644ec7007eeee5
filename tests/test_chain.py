"""The whole chain, run for real: files, second runs, MLflow, the report in a browser, the README's commands."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.aggregation.study import aggregate
from pipeline.codes import unpack
from pipeline.params import read
from pipeline.runtime.layout import Cell, Layout, cells_of
from tests.conftest import ROOT, Project, copy_project, make_small
from tests.records import recorded

# One worker builds the finished study; the others take the rest.
pytestmark = pytest.mark.xdist_group("finished")

CELL = Cell("dsdh", "wr", 16, 0)
ARGUMENTS = ["--method", "dsdh", "--quantizer", "wr", "--bits", "16", "--seed", "0"]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_second_repro_runs_nothing(finished: Project) -> None:
    assert finished.repro() == []
    assert "up to date" in finished.run("dvc", "status").stdout


def test_results_table_has_every_row(finished: Project) -> None:
    table = rows(finished.results / "tables" / "results.csv")
    found = [(row["method"], row["quantizer"], row["n"]) for row in table]
    assert found == [(m, q, "2") for m in ("csq", "dsdh") for q in ("original", "wr")]
    for row in table:
        cells = [c for c in rows(finished.results / "tables" / "cells.csv")
                 if (c["method"], c["quantizer"]) == (row["method"], row["quantizer"])]  # fmt: skip
        assert float(row["map_mean"]) == pytest.approx(np.mean([float(c["map"]) for c in cells]))
        assert float(row["map_std"]) == pytest.approx(np.std([float(c["map"]) for c in cells], ddof=1))
        assert (row["map_p_value"] == "") == (row["quantizer"] == "original")


def test_everything_that_was_measured_is_in_the_tables(finished: Project) -> None:
    cell = json.loads((finished.results / "metrics" / CELL.name / "metrics.json").read_text())
    assert cell["map_pessimistic"] <= cell["map"] <= cell["map_optimistic"]
    assert 0 <= cell["precision@r2"] <= 1 and cell["quantization_error"] > 0
    balance = rows(finished.results / "tables" / "balance.csv")
    of_group = [json.loads((finished.results / "metrics" / f"dsdh-wr-16-{seed}" / "metrics.json").read_text())
                for seed in (0, 1)]  # fmt: skip
    row = next(row for row in balance if (row["method"], row["quantizer"]) == ("dsdh", "wr"))
    for name in ("bit_imbalance", "code_entropy", "collision_rate", "distinct_codes", "quantization_error"):
        assert float(row[f"{name}_mean"]) == pytest.approx(np.mean([metrics[name] for metrics in of_group]))
    curves = rows(finished.results / "tables" / "curves.csv")
    mine = [row for row in curves if (row["method"], row["quantizer"]) == ("dsdh", "wr")]
    assert [row["at"] for row in mine if row["by"] == "radius"] == [str(radius) for radius in range(17)]
    assert float(mine[-1]["recall_mean"]) == 1
    bits = rows(finished.results / "metrics" / CELL.name / "bits.csv")
    assert np.mean([abs(float(row["mean"])) for row in bits]) == pytest.approx(cell["bit_imbalance"])


def test_informativeness_of_a_cell_and_its_table(finished: Project, tmp_path: Path) -> None:
    """The real stage for one cell; for the table, its numbers for all of them."""
    folder = finished.results / "metrics" / f"{CELL.name}.informativeness-query"
    finished.run("python", "-m", "stages.informativeness", *ARGUMENTS, "--part", "query")
    measured = json.loads((folder / "informativeness.json").read_text())
    shutil.rmtree(folder)
    assert (measured["unit"], measured["images"], len(measured["estimates"])) == ("nats", 300, 2)
    assert measured["mean"] == pytest.approx(np.mean(measured["estimates"]))
    layout = Layout("small", tmp_path)
    shutil.copytree(finished.results, layout.folder)
    params = read(finished.folder / "params.yaml")
    params["informativeness"]["parts"] = ["query"]
    for place, cell in enumerate(cells_of(params["grid"])):
        target = layout.informativeness(cell, "query")
        target.mkdir()
        (target / "informativeness.json").write_text(json.dumps(measured | {"mean": 1.0 + place}))
        recorded(params, layout, "informativeness", {**vars(cell), "part": "query"}, target)
    (tmp_path / "tables").mkdir()
    aggregate(params, layout, tmp_path / "tables")
    table = rows(tmp_path / "tables" / "informativeness.csv")
    assert [float(row["informativeness_query_mean"]) for row in table] == [1.5, 3.5, 5.5, 7.5]
    assert float(table[1]["informativeness_query_difference"]) == 2
    params["informativeness"]["bits"] = [cells_of(params["grid"])[0].bits + 1]
    (tmp_path / "other").mkdir()
    aggregate(params, layout, tmp_path / "other")
    assert not (tmp_path / "other" / "informativeness.csv").exists(), "no cell has this code length"
    params["informativeness"]["parts"] = []
    (tmp_path / "without").mkdir()
    aggregate(params, layout, tmp_path / "without")
    assert not (tmp_path / "without" / "informativeness.csv").exists()
    assert not list(layout.all_metrics.glob("*.informativeness-*")), "what is switched off is put away"


def test_tables_state_protocol_and_selection(finished: Project) -> None:
    about = json.loads((finished.results / "tables" / "about.json").read_text())
    assert (about["selection"], about["ties"], about["protocol"]) == ("validation", "expected", "counts")
    for name in ("results.md", "results.txt", "index.html"):
        assert "validation mAP" in (finished.results / "report" / name).read_text()


def test_codes_are_what_a_search_index_needs(finished: Project) -> None:
    folder = finished.results / "codes" / CELL.name
    about = json.loads((folder / "codes.json").read_text())
    query = unpack(np.load(folder / "query_codes.npy"), about["code_length"])
    assert query.shape == (300, 16)
    split = finished.results / "splits" / "0"
    assert (np.load(folder / "database_indices.npy") == np.load(split / "database.npy")).all()


def test_the_same_cell_twice_is_byte_identical(finished: Project) -> None:
    folders = [finished.results / kind / CELL.name for kind in ("train", "codes")]
    before = {file: file.read_bytes() for folder in folders for file in folder.iterdir()}
    for stage in ("train", "encode"):
        finished.run("python", "-m", f"stages.{stage}", *ARGUMENTS)
    assert {file: file.read_bytes() for folder in folders for file in folder.iterdir()} == before


def test_seeds_differ(finished: Project) -> None:
    first, second = (finished.results / "codes" / f"csq-wr-16-{seed}" / "query_codes.npy" for seed in (0, 1))
    assert first.read_bytes() != second.read_bytes()


def test_a_killed_train_stage_leaves_nothing_and_is_run_again(tmp_path: Path) -> None:
    """`kill -9` of `dvc repro` and its stage in the middle of training."""
    project = copy_project(tmp_path / "killed")
    make_small(project)
    project.edit("training.epochs", 500)
    address = f"cells/train/dvc.yaml:train@{CELL.name}"
    process = subprocess.Popen(
        ["dvc", "repro", address], cwd=project.folder, env=project.env, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    history = project.results / ".partial" / f"train-{CELL.name}" / "history.csv"
    deadline = time.monotonic() + 240
    while not (history.exists() and len(history.read_text().splitlines()) > 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert history.exists()
    assert not (project.results / "train" / CELL.name).exists()
    project.edit("training.epochs", 2)
    assert address in project.repro(address)
    assert sorted(file.name for file in (project.results / "train" / CELL.name).iterdir()) == [
        "history.csv", "made_of.json", "training.json", "weights.safetensors",
    ]  # fmt: skip
    assert not (project.results / ".partial").exists()


@pytest.fixture(scope="module")
def client(finished: Project) -> Iterator[Any]:
    from mlflow import MlflowClient

    yield MlflowClient(tracking_uri=f"sqlite:///{finished.folder}/mlflow.db")


def current_runs(client: Any, condition: str = "tags.kind = 'cell'") -> list[Any]:
    experiment = client.get_experiment_by_name("small")
    found = client.search_runs([experiment.experiment_id], f"{condition} and tags.status = 'current'")
    return list(found)


def test_mlflow_has_one_complete_run_a_cell(finished: Project, client: Any) -> None:
    params = read(finished.folder / "params.yaml")
    runs = {run.data.tags["cell"]: run for run in current_runs(client)}
    assert sorted(runs) == sorted(cell.name for cell in cells_of(params["grid"]))
    assert len(current_runs(client)) == 8
    for cell in cells_of(params["grid"]):
        run = runs[cell.name]
        tags, logged, metrics = run.data.tags, run.data.params, run.data.metrics
        assert run.info.status == "FINISHED"
        assert run.info.run_name == cell.name
        split = json.loads((finished.results / "splits" / str(cell.seed) / "split.json").read_text())
        assert tags["split_hash"] == split["split_hash"]
        assert {tags[key] for key in ("method", "quantizer", "bits", "seed", "dataset", "study")} == {
            cell.method, cell.quantizer, "16", str(cell.seed), "digits", "small",
        }  # fmt: skip
        assert re.fullmatch("[0-9a-f]{40}", tags["git_commit"])
        assert logged["training.optimizer.learning_rate"] == "0.002"
        assert logged[f"methods.{cell.method}.{next(iter(params['methods'][cell.method]))}"]
        written = json.loads((finished.results / "metrics" / cell.name / "metrics.json").read_text())
        assert metrics["map"] == written["map"]
        assert metrics["precision_at_100"] == written["precision@100"]
        history = rows(finished.results / "train" / cell.name / "history.csv")
        parts = ["loss", "loss/similarity", "loss/own_quantization", "validation/map"]
        for part in [*parts, *(["loss/wr"] if cell.quantizer == "wr" else [])]:
            column = part.removeprefix("loss/").replace("/", "_")
            points = client.get_metric_history(run.info.run_id, part)
            assert [(point.step, point.value) for point in points] == [
                (int(row["epoch"]), float(row[column])) for row in history if row[column]
            ]


def test_mlflow_has_a_run_for_the_study(finished: Project, client: Any) -> None:
    (study,) = current_runs(client, "tags.kind = 'study'")
    table = rows(finished.results / "tables" / "results.csv")
    for row in table:
        name = f"map/{row['method']}-{row['quantizer']}-{row['bits']}"
        assert study.data.metrics[name] == pytest.approx(float(row["map_mean"]), abs=1e-6)
    folder = Path(study.info.artifact_uri.removeprefix("file://"))
    assert (folder / "report" / "index.html").exists()
    assert (folder / "tables" / "results.csv").exists()
    assert list((folder / "report" / "figures").glob("*.svg"))


def test_tracking_again_changes_nothing(finished: Project, client: Any) -> None:
    before = sorted(run.info.run_id for run in current_runs(client))
    assert "8 cells of 'small' are in MLflow" in finished.run("python", "-m", "pipeline", "track").stdout
    assert sorted(run.info.run_id for run in current_runs(client)) == before


def test_rerunning_a_cell_leaves_one_current_run(finished: Project, client: Any) -> None:
    """Back and forth between two weights: never two current runs of a cell, and none is lost."""
    cell = Cell("csq", "wr", 16, 1).name
    address = f"cells/evaluate/dvc.yaml:evaluate@{cell}"
    before = [run for run in current_runs(client) if run.data.tags["cell"] == cell]
    experiment = client.get_experiment_by_name("small").experiment_id
    known = {run.info.run_id for run in client.search_runs([experiment], f"tags.cell = '{cell}'")}
    for weight, parameter in ((0.7, "0.7"), (0.1, "0.1")):
        finished.edit("quantizers.wr.weight", weight)
        finished.repro(address)
        finished.run("python", "-m", "pipeline", "track")
        (run,) = [run for run in current_runs(client) if run.data.tags["cell"] == cell]
        assert run.data.params["quantizers.wr.weight"] == parameter
    assert [run.info.run_id] == [run.info.run_id for run in before], "the first result is current again"
    all_runs = {run.info.run_id for run in client.search_runs([experiment], f"tags.cell = '{cell}'")}
    assert known < all_runs and len(all_runs) == len(known) + 1, "one more, with the other weight"


def test_a_server_that_is_away_costs_no_results(finished: Project) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = finished.run("python", "-m", "stages.report", **away)
    assert "warning: MLflow could not be completed" in done.stderr
    assert "`make track` logs them later" in done.stderr
    assert (finished.results / "report" / "index.html").exists()
    again = finished.run("python", "-m", "pipeline", "track", check=False, **away)
    assert again.returncode == 1
    assert again.stderr.startswith("error: MLflow: ")


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def test_the_report_in_a_real_browser(finished: Project, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install Debian's chromium to run this test")
    page, image = finished.results / "report" / "index.html", tmp_path / "report.png"
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,1600",
    ]  # fmt: skip
    subprocess.run(
        [CHROMIUM, *flags, f"--screenshot={image}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert image.stat().st_size > 20_000
    dom = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    table = re.search(r'<table[^>]*id="results".*?</table>', dom, re.DOTALL)
    assert table is not None
    for row in rows(finished.results / "tables" / "results.csv"):
        assert f'data-value="{row["map_mean"]}"' in table.group()


def readme_commands() -> list[str]:
    """Lines of ``bash`` blocks of README and docs/pipeline.md that run on a finished study, without servers, clones."""
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "pipeline.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in dict.fromkeys(lines) if line.startswith(("dvc ", "python ")) and "git " not in line]


def test_the_readmes_commands(finished: Project) -> None:
    commands = readme_commands()
    for needed in ("dvc repro", "dvc status", "dvc dag split@0", "dvc metrics show", "dvc plots show"):
        assert needed in commands
    before = (finished.folder / "params.yaml").read_text()
    for command in commands:
        if "studies/" in command or "exp run" in command:
            continue  # another data set; the next test
        finished.run("bash", "-c", command)
    assert (finished.folder / "params.yaml").read_text() == before
    shown = finished.run("dvc", "metrics", "show", "--json").stdout
    (found,) = [file["data"] for file in json.loads(shown)[""]["data"].values()]
    assert set(found) == {f"{method}-{quantizer}-16" for method in ("csq", "dsdh") for quantizer in ("original", "wr")}


def test_an_experiment_with_one_param_changed(finished: Project) -> None:
    finished.run("git", "add", "-A")
    finished.run("git", "commit", "-q", "--allow-empty", "-m", "finished")
    before = (finished.folder / "params.yaml").read_text()
    try:
        cell = f"cells/evaluate/dvc.yaml:evaluate@{CELL.name}"
        finished.run("dvc", "exp", "run", "-n", "heavier", "-S", "quantizers.wr.weight=0.5", cell)
        assert finished.params["quantizers"]["wr"]["weight"] == 0.5
        shown = json.loads(finished.run("dvc", "exp", "show", "--json").stdout)
        assert "heavier" in json.dumps(shown)
    finally:
        (finished.folder / "params.yaml").write_text(before)
    finished.repro()
    assert finished.repro() == []
