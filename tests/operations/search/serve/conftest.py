"""One server for the tests of this folder that only ask it something."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.search.serve.serving import Server, digits_index, served


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_index(tmp_path_factory.mktemp("digits") / "index")


@pytest.fixture(scope="session")
def server(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(index, tmp_path_factory.mktemp("server")) as running:
        yield running
