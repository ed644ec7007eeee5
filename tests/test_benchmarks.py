"""Benchmarks run on little data, so that an edit of what they measure can't break them unseen."""

from pathlib import Path

import pytest
import torch

from benchmarks import cell, leaderboard, pairing
from pipeline.runtime.layout import Layout
from pipeline.training import timing
from tests.conftest import ROOT, Project


@pytest.mark.xdist_group("finished")
def test_a_cell_s_stages_are_timed_by_part(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    cell.copy_of_study(tmp_path, ["--method=dsdh", "--quantizer=wr", "--bits=16"])
    cells = [{"method": "dsdh", "quantizer": "wr", "bits": 16, "seed": seed} for seed in (1, 0)]
    taken = cell.run(tmp_path, list(cell.STAGES), cells)
    assert list(taken) == list(cell.STAGES)
    assert taken["train"]["backward"] > 0 and taken["evaluate"]["mAP and curves"] > 0
    assert (tmp_path / "results" / "small" / "metrics" / "dsdh-wr-16-0" / "metrics.json").exists()


@pytest.mark.xdist_group("finished")
def test_the_leaderboard_has_a_row_a_method(finished: Project) -> None:
    heads, *rows = leaderboard.rows(Layout("small", finished.folder), 16)
    assert heads[:4] == ["method", "learns from", "original", "wr"]
    assert [row[0] for row in rows] == ["csq", "dsdh"] and {len(row) for row in rows} == {len(heads)}
    assert leaderboard.published("dsdh", 32) == ["0.752", "0.801"]
    assert leaderboard.published("crovca", 32) == ["", ""]


def test_the_pairing_is_timed_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    asked = pairing.Asked(torch.device("cpu"), 1, True)
    section = pairing.params(asked, 64, {"name": "cnn", "input_size": 16}, 0.001, ["original", "wr"])
    ready = timing.trainers(section, "dsdh", 16, pairing.data(84))
    assert min(pairing.alone(ready["wr"])) > 0
