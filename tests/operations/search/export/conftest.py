"""Indexes to export: code lengths that are and aren't multiples of 8."""

from pathlib import Path

import pytest

from tests.operations.search.export.making import Made, made


@pytest.fixture(params=[12, 64])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    return made(tmp_path / "index", request.param)
