"""Results of other params than params.yaml's are told by DVC's lock files."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.layout import Cell, Layout
from pipeline.tracking.dated import Locks

CELL = Cell("dsdh", "wr", 16, 0)
LOCK = """\
schema: '2.0'
stages:
  train@dsdh-wr-16-0:
    params:
      params.yaml:
        methods.dsdh:
          eta: 1e-05
        training:
          epochs: 8
    outs:
    - path: results/{study}/train/dsdh-wr-16-0
"""


def params(eta: float = 1e-5, epochs: int = 8) -> dict[str, Any]:
    return {"methods": {"dsdh": {"eta": eta}}, "training": {"epochs": epochs}}


@pytest.mark.parametrize(
    ("study", "now", "outdated"),
    [
        ("mine", params(), False),
        ("mine", params(eta=1e-4), True),
        ("mine", params(epochs=9), True),
        ("mine", {"training": {"epochs": 8}}, True),
        ("another", params(epochs=9), False),  # that lock speaks of another study's results
    ],
)
def test_outdated(
    study: str, now: dict[str, Any], outdated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Locks(now, Layout("mine")).outdated(CELL), "no lock file: run by hand"
    file = Path("cells/dsdh/train/dvc.lock")
    file.parent.mkdir(parents=True)
    file.write_text(LOCK.format(study=study))
    assert Locks(now, Layout("mine")).outdated(CELL) is outdated
    assert not Locks(now, Layout("mine")).outdated(Cell("dsdh", "wr", 16, 1))
