"""``qdrant``: qdrant-client's local mode loads and searches the export."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.operations.search.export.making import Made, commands_of, made, printed, python_of
from tests.operations.tracking.servers import free_port

pytest.importorskip("qdrant_client")


def load(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "load.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=600
    )


def test_local_mode_loads_and_searches(index: Made, tmp_path: Path) -> None:
    folder, local = index.export("qdrant"), str(tmp_path / "local")
    assert commands_of(folder, "python") == ["python load.py --url http://localhost:6333"]
    done = load(folder, "--local", local)
    assert (done.returncode, done.stdout) == (0, "items: 300 items\n"), done.stderr
    again = load(folder, "--local", local)
    assert again.returncode == 1 and again.stderr.startswith("error: the collection 'items' exists;")
    code = python_of(folder).replace('"http://localhost:6333"', "path=local")
    index.has_as_nearest(printed(code + "\nclient.close()", local=local), 0, besides=(0,))
    further = code.replace("query=0", "query=7").replace("limit=10", "limit=200")
    index.has_as_nearest(printed(further + "\nclient.close()", local=local), 7, besides=(7,))


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = load(made(tmp_path / "index", 12).export("qdrant"), "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
