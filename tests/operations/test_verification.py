"""``python -m pipeline verify`` on a finished study, and on one that someone has touched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.operations.verification import verify
from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout
from tests.conftest import Project

pytestmark = pytest.mark.xdist_group("finished")

CELL = Cell("dsdh", "wr", 16, 1)


def test_a_finished_study_is_verified(finished: Project) -> None:
    said = finished.run("python", "-m", "pipeline", "verify").stdout
    assert said == "small: 8 cells re-evaluated from their codes; tables and report follow from them\n"
    assert "up to date" in finished.run("dvc", "status").stdout, "and left as it was"


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def better(layout: Layout) -> None:
    file = layout.metrics(CELL) / "metrics.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "map": content["map"] + 0.01}))


def resealed(layout: Layout) -> None:
    """Make the cell's records agree with its codes as they are, as a forger would."""
    file, measured = layout.codes(CELL) / "made_of.json", layout.metrics(CELL) / "made_of.json"
    record = json.loads(file.read_text())
    record["files"] = {name: provenance.sha256(file.with_name(name)) for name in record["files"]}
    file.write_text(json.dumps(record))
    record = json.loads(measured.read_text())
    record["inputs"][f"codes/{CELL.name}"] = provenance.content(layout.folder, f"codes/{CELL.name}")
    measured.write_text(json.dumps(record))


def other_codes(layout: Layout) -> None:
    file = layout.codes(CELL) / "database_codes.npy"
    np.save(file, ~np.load(file)[::-1])
    resealed(layout)


def other_labels(layout: Layout) -> None:
    file = layout.codes(CELL) / "query_labels.npy"
    np.save(file, np.roll(np.load(file), 1, axis=0))
    resealed(layout)


def other_images(layout: Layout) -> None:
    file = layout.codes(CELL) / "query_indices.npy"
    np.save(file, np.load(file)[::-1])
    resealed(layout)


def rounded_up(layout: Layout) -> None:
    table = layout.tables / "results.csv"
    value = table.read_text().splitlines()[1].split(",")[4]
    replaced(table, value, "0.99")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (better, ["dsdh-wr-16-1: metrics.json: map is"]),
        (other_codes, ["dsdh-wr-16-1: metrics.json: map is", "follows from the files"]),
        (other_labels, ["dsdh-wr-16-1: the labels beside its query codes aren't the dataset's"]),
        (other_images, ["dsdh-wr-16-1: its query codes aren't of the query images of the split"]),
        (rounded_up, ["tables: results.csv: row 1, map_mean is '0.99'"]),
        (lambda layout: shutil.rmtree(layout.codes(CELL)), ["dsdh-wr-16-1:", "is missing; run `dvc pull`"]),
        (lambda layout: shutil.rmtree(layout.train(CELL)), ["dsdh-wr-16-1:", "is missing; run `dvc pull`"]),
        (
            lambda layout: (layout.codes(CELL) / "query_codes.npy").write_bytes(b"x"),
            ["dsdh-wr-16-1: a file is missing or"],
        ),
        (lambda layout: (layout.codes(CELL) / "query_labels.npy").unlink(), ["dsdh-wr-16-1: a file is missing or"]),
        (lambda layout: (layout.metrics(CELL) / "history.csv").write_text(""), ["tables: a file is missing or broken"]),
        (lambda layout: shutil.rmtree(layout.data), ["data/prepared is missing; run `dvc pull`"]),
        (lambda layout: shutil.rmtree(layout.metrics(CELL)), ["dsdh-wr-16-1: no metrics (not run yet)"]),
        (lambda layout: replaced(layout.report / "results.md", "dsdh", "DSDH"), ["in the report, results.md: line"]),
    ],
)
def test_what_does_not_follow_is_named(
    harm: Callable[[Layout], Any], said: list[str], finished: Project, tmp_path: Path
) -> None:
    shutil.copytree(finished.results, tmp_path / "results" / "small")
    harm(Layout("small", tmp_path))
    with pytest.raises(UserError) as error:
        verify(finished.params, tmp_path)
    lines = str(error.value).splitlines()
    assert any(all(part in line for part in said) for line in lines), lines
