"""Exports that are files alone: numpy and usearch; and what every export does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.__main__ import main
from pipeline.operations.search.export import export, names
from pipeline.runtime.errors import UserError
from tests.operations.search.export.making import Made, made, printed, python_of


def test_numpy(index: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = index.export("numpy")
    assert np.array_equal(np.load(folder / "codes.npy"), index.codes)
    items = pq.read_table(folder / "items.parquet").to_pydict()
    assert items == {"id": list(range(300)), "name": index.names, "labels": index.labels}
    monkeypatch.chdir(folder)
    index.has_as_nearest(printed(python_of(folder)), 0)


def test_usearch(index: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    usearch = pytest.importorskip("usearch.index")
    folder = index.export("usearch")
    monkeypatch.chdir(folder)
    index.has_as_nearest(printed(python_of(folder)), 0)
    exact = python_of(folder).replace("index.get(0), 10", "index.get(7), 50, exact=True")
    index.has_as_nearest(printed(exact), 7)
    restored = usearch.Index.restore("index.usearch")
    assert (restored.ndim, len(restored), str(restored.dtype)) == (index.bits, 300, "ScalarKind.B1")
    first = (folder / "index.usearch").read_bytes()
    assert (index.export("usearch") / "index.usearch").read_bytes() == first, "the same index gives the same file"


def test_usearch_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = made(tmp_path / "index", 12)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(UserError, match=r"needs the package usearch; install it with `pip install -r requirements-s"):
        index.export("usearch")
    assert [path.name for path in tmp_path.iterdir()] == ["index"], "nothing is half-written"


@pytest.mark.parametrize("target", sorted({*names()} - {"usearch"}))
def test_every_target_says_what_it_wrote(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = made(tmp_path / "index", 12)
    for _ in range(2):  # an export replaces an export
        assert main(["export", str(index.folder), target]) == 0
    folder = tmp_path / f"index-{target}"
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [f"{folder}: 300 items, 12 bits, for {target}", f"how to load it: {folder}/README.txt"]
    about = json.loads((folder / "export.json").read_text())
    assert (about["target"], about["count"], about["code_length"], about["cell"]) == (target, 300, 12, "csq-wr-12-0")
    readme = (folder / "README.txt").read_text()
    assert readme.startswith("300 items of the cell csq-wr-12-0 (study s), 12 bits each.\n")
    files = {path.name for path in folder.iterdir()} - {"README.txt", "export.json"}
    assert all(f"\n{name} " in readme for name in files), "README.txt names every file"
    assert {path.name for path in tmp_path.iterdir()} == {"index", folder.name}


def test_several_blocks_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.operations.search.items.BLOCK", 7)
    monkeypatch.setattr("pipeline.operations.search.export._parquet.BLOCKS", 3)
    index = made(tmp_path / "index", 12)
    folder = index.export("qdrant")
    file = pq.ParquetFile(folder / "items.parquet")
    assert file.num_row_groups == 15
    columns = file.read().to_pydict()
    assert (columns["id"], columns["name"], columns["labels"]) == (list(range(300)), index.names, index.labels)
    assert columns["code"] == [code.tobytes() for code in index.codes]
    assert np.array_equal(np.load(index.export("numpy") / "codes.npy"), index.codes)


def test_a_folder_that_is_no_export_is_left_alone(tmp_path: Path) -> None:
    index = made(tmp_path / "index", 12)
    for folder in (tmp_path, index.folder):
        with pytest.raises(UserError, match="exists and is no export; name another folder"):
            export(index.folder, "numpy", folder)
    (tmp_path / "empty").mkdir()
    export(index.folder, "numpy", tmp_path / "empty")
    assert (tmp_path / "empty" / "codes.npy").exists()


def test_what_an_export_refuses_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = made(tmp_path / "index", 12)
    for arguments, line in (
        ([str(index.folder), "pgvectr"], "unknown target 'pgvectr' (did you mean 'pgvector'?); known: milvus, numpy"),
        ([str(tmp_path), "numpy"], "no index, since it has no manifest.json"),
        ([], "Missing argument 'INDEX'"),
    ):
        assert main(["export", *arguments]) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert line in said.err


def test_an_item_that_a_target_cannot_hold_is_named_and_the_export_before_stays(tmp_path: Path) -> None:
    index = made(tmp_path / "index", 12)
    index.export("pgvector")
    before = sorted((tmp_path / "pgvector").iterdir())
    other = made(tmp_path / "other", 12, names=["x\0y"])
    with pytest.raises(UserError, match="item 0: its name or a label has the character NUL, which PostgreSQL's"):
        export(other.folder, "pgvector", tmp_path / "pgvector")
    assert sorted((tmp_path / "pgvector").iterdir()) == before
    other = made(tmp_path / "long", 12, labels=[["é" * 33_000]])
    with pytest.raises(UserError, match="item 0: its name or a label takes more than 65,535 bytes, Milvus's limit"):
        other.export("milvus")
    other = made(tmp_path / "many", 12, labels=[["x"] * 4097])
    with pytest.raises(UserError, match="item 0: 4,097 labels; Milvus takes at most 4,096"):
        other.export("milvus")


@pytest.mark.parametrize("target", ["milvus", "qdrant"])
def test_a_script_without_its_packages_is_one_line(target: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "index", 12).export(target)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "load.py"], cwd=folder, capture_output=True, text=True
    )  # no packages at all
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the package ") and "; pip install " in done.stderr
