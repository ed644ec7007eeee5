"""``milvus``: the file is what Milvus's own writer makes, and a real Milvus Lite loads and searches it."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.operations.search.export.making import Made, commands_of, made, printed, python_of
from tests.operations.tracking.servers import free_port, stop

pytest.importorskip("pymilvus")


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Milvus Lite server.

    Its program is started directly: the package's Python needs an older setuptools, and Milvus Lite 3 has no
    BINARY_VECTOR.
    """
    found = importlib.util.find_spec("milvus_lite")
    program = Path(found.origin).parent / "lib" / "milvus" if found and found.origin else None
    if program is None or not program.exists():
        pytest.skip("the package milvus-lite 2.5.1 (a server with BINARY_VECTOR) isn't installed")
    folder, port = tmp_path_factory.mktemp("milvus"), free_port()
    process = subprocess.Popen(
        [program, folder / "lite.db", f"127.0.0.1:{port}", "ERROR"],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(program.parent)},
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 300
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)


def load(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "load.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=600
    )


def test_milvus_lite_loads_and_searches(index: Made, milvus: str) -> None:
    folder, collection = index.export("milvus"), f"items{index.bits}"
    assert commands_of(folder, "python")[0] == "python load.py --url http://localhost:19530"
    done = load(folder, "--url", milvus, "--collection", collection)
    assert (done.returncode, done.stdout) == (0, f"{collection}: 300 items\n"), done.stderr
    code = python_of(folder).replace("http://localhost:19530", milvus).replace('"items"', f'"{collection}"')
    index.has_as_nearest(printed(code), 0)
    index.has_as_nearest(printed(code.replace("ids=[0]", "ids=[7]").replace("limit=10", "limit=200")), 7)
    again = load(folder, "--url", milvus, "--collection", collection)
    assert (again.returncode, again.stderr) == (
        1, f"error: the collection '{collection}' exists; name another one with --collection\n",
    )  # fmt: skip


def test_the_columns_are_those_of_a_bulk_import(index: Made) -> None:
    """The types that pymilvus's LocalBulkWriter gives to these fields; it needs more packages than are installed."""
    written = pq.read_table(index.export("milvus") / "items.parquet")
    strings, bytes_ = pa.list_(pa.string()), pa.list_(pa.uint8())
    assert [(field.name, field.type) for field in written.schema] == [
        ("id", pa.int64()), ("name", pa.string()), ("labels", strings), ("code", bytes_),
    ]  # fmt: skip
    assert written["code"].to_pylist() == index.codes.tolist()


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = load(made(tmp_path / "index", 12).export("milvus"), "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
