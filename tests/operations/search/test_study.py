"""An index of a real study's cell: built, searched by pictures, extended, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.codes import unpack
from pipeline.encoding.network import HashNetwork
from pipeline.operations.model import onnx_file
from pipeline.operations.model.encoder import Encoder
from pipeline.operations.model.onnx_network import OnnxNetwork
from pipeline.operations.search.build import _computed, _write_onnx
from pipeline.operations.search.index import Index
from pipeline.operations.search.items import Packed
from pipeline.params import read as read_params
from pipeline.preparation import arrays
from pipeline.runtime.layout import Cell, Layout
from tests.conftest import Project
from tests.operations.model.making import of_images

pytestmark = pytest.mark.xdist_group("finished")
CELL = Cell("csq", "wr", 16, 1)


@pytest.fixture(scope="module")
def made(finished: Project) -> Path:
    """The folder of an index that the command built."""
    said = finished.run("python", "-m", "pipeline", "index", CELL.name).stdout
    folder = finished.results / "index" / f"{CELL.name}-flat"
    assert f"{folder.relative_to(finished.folder)}: 1,797 images, 16 bits, kind flat" in said
    assert "network and codes of csq-wr-16-1 (the seed that was asked for)" in said
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    subprocess.run(["cp", "-r", made, tmp_path / "index"], check=True)
    return tmp_path / "index"


def command(project: Project, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return project.run("python", "-m", "pipeline", *map(str, arguments), check=check)


def picture(project: Project, row: int, file: Path) -> Path:
    Image.fromarray(np.asarray(arrays.load(project.results / "data" / "prepared").images[row])).save(file)
    return file


def by_row(folder: Path) -> Packed:
    """The codes of an index of the digits in the order of the dataset, whose ids are numbers."""
    items = Index(folder).items
    names = [int(item.name) for item in items.get(range(1797))]
    return np.concatenate(list(items.codes(0, 1797)))[np.argsort(names)]


def test_items_are_not_in_the_order_of_the_dataset(made: Path) -> None:
    names = [int(item.name) for item in Index(made).items.get(range(1797))]
    assert sorted(names) == list(range(1797)) and abs(np.corrcoef(names, range(1797))[0, 1]) < 0.1


def noise(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for place in range(count):
        Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(folder / f"{place:04}.png")
    return folder


def test_it_holds_every_image_with_the_codes_that_encode_stored(finished: Project, made: Path) -> None:
    index, data = Index(made), arrays.load(finished.results / "data" / "prepared")
    codes, items = by_row(made), sorted(index.items.get(range(index.count)), key=lambda item: int(item.name))
    for part in ("query", "database"):
        rows = np.load(finished.results / "codes" / CELL.name / f"{part}_indices.npy")
        assert (codes[rows] == np.load(finished.results / "codes" / CELL.name / f"{part}_codes.npy")).all()
    assert [item.name for item in items] == list(data.ids)
    assert [item.labels for item in items] == [[str(int(row.argmax()))] for row in data.labels]


def test_images_outside_of_query_and_database_get_the_same_codes(
    finished: Project, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    params = read_params()
    found = _computed(params, CELL, Layout(params["study"]), np.arange(300))
    assert (found == by_row(made)[:300]).all()


def test_every_image_of_the_study_finds_itself(made: Path) -> None:
    index = Index(made)
    codes = np.concatenate(list(index.items.codes()))
    distances, _ = index.nearest(codes, 1)
    assert (distances == 0).all()


def test_the_networks_onnx_file_gives_the_stored_codes(finished: Project, made: Path) -> None:
    assert "model/network.onnx" in json.loads((made / "manifest.json").read_text())["files"]
    encoder = Encoder.load(made / "model", "cpu")
    assert isinstance(encoder.network, OnnxNetwork)
    u = encoder.outputs_of(np.asarray(arrays.load(finished.results / "data" / "prepared").images))
    sure = np.abs(u) > 1e-4
    assert np.array_equal((u > 0)[sure], unpack(by_row(made), 16)[sure] > 0)
    assert sure.mean() > 0.999


@pytest.mark.parametrize(
    ("precision", "fault", "said"),
    [
        ("bfloat16", None, ""),
        ("float32", "package", "the package onnx_not_installed is missing; run `pip install"),
        ("float32", "layer", "this network can't be written as ONNX (KeyError)"),
    ],
)
def test_an_index_without_an_onnx_file_says_why(
    precision: str, fault: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str, folder: Path, file: Path) -> str:
        file.write_bytes(b"half")
        raise KeyError("aten.something")

    of_images(tmp_path, precision=precision)
    if fault == "package":
        monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx_not_installed",))
    if fault == "layer":  # no backbone here has one that ONNX doesn't know
        monkeypatch.setattr(onnx_file, "export", fails)
    line = _write_onnx(CELL, tmp_path)
    assert not (tmp_path / "network.onnx").exists()
    assert isinstance(Encoder.load(tmp_path, "cpu").network, HashNetwork)
    assert said in line and ("codes of queries are computed by torch" in line) == bool(said)


def test_a_group_means_its_best_seed_by_validation(finished: Project, tmp_path: Path) -> None:
    said = command(finished, "index", "dsdh-wr-16", "--kind", "hnsw", "--to", tmp_path / "here").stdout
    seeds = {
        seed: json.loads((finished.results / "train" / f"dsdh-wr-16-{seed}" / "training.json").read_text())
        for seed in (0, 1)
    }
    best = max(seeds, key=lambda seed: seeds[seed]["validation_map"])
    assert f"network and codes of dsdh-wr-16-{best} (the best of 2 seeds by validation mAP)" in said
    assert json.loads((tmp_path / "here" / "manifest.json").read_text())["kind"] == "hnsw"


def test_a_picture_of_the_study_is_found_as_table_json_and_page(finished: Project, made: Path, tmp_path: Path) -> None:
    file = picture(finished, 7, tmp_path / "seven.png")
    page = tmp_path / "found.html"
    found = json.loads(command(finished, "search", made, file, "--json", "-k", "1000", "--html", page).stdout)
    assert found["query"] == str(file)
    (itself,) = [one for one in found["results"] if one["name"] == "7"]
    assert (itself["distance"], itself["labels"]) == (0, ["7"])
    distances = [one["distance"] for one in found["results"]]
    assert distances == sorted(distances)
    text = page.read_text()
    assert text.count("<figure>") == 1000 and "data:image/png;base64," in text and "seven.png" in text
    table = command(finished, "search", made, "7", "-k", "3", "--radius", "0").stdout.splitlines()
    assert table[0].split() == ["distance", "id", "labels", "name"]
    assert all(line.split()[0] == "0" for line in table[1:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "{made}", "nothing.png"), "nothing.png: no such file; expected an image, or the id of an item"),
        (("search", "{made}", "params.yaml"), "params.yaml: not an image of a known kind"),
        (("search", "{made}", "1797"), "no item 1797; expected 0 to 1796"),
        (("search", "{made}", "1", "-k", "0"), "number of results: expected 1 to 1,000; found 0"),
        (("search", "{made}", "1", "--html", "no/page.html"), "--html: no/page.html can't be written (No such file"),
        (("search", "results", "1"), "results: no index, since it has no manifest.json"),
        (("index", "csq-wr-16", "--kind", "tree"), "unknown kind of index 'tree'; expected one of flat, hnsw, ivf"),
        (("index", "csq-wx-16"), "found 'csq-wx-16' (did you mean 'csq-wr-16'?)"),
        (("index", "csq-wr-16", "--to", "pipeline"), "pipeline: exists and is no index; name another folder"),
        (("index", "{made}", "--add", "nowhere"), "nowhere: no such folder or image"),
        (("index", "{made}", "--add", "studies"), "studies: no images; expected files with one of the endings .apng"),
        (("index", "results", "--add", "studies"), "results: no index"),
    ],
)
def test_a_mistake_is_one_line(finished: Project, made: Path, arguments: tuple[str, ...], said: str) -> None:
    done = command(finished, *(one.format(made=made) for one in arguments), check=False)
    assert done.returncode == 1
    assert said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_images_are_added_once_and_found(finished: Project, copied: Path, tmp_path: Path) -> None:
    more = noise(tmp_path / "more", 3)
    (more / "deeper").mkdir()
    (more / "0000.png").rename(more / "deeper" / "naïve.png")
    (more / os.fsdecode(b"\xff.png")).write_bytes((more / "0001.png").read_bytes())
    (more / "broken.jpg").write_bytes(b"no image")
    (more / "notes.txt").write_text("not looked at")
    picture(finished, 3, more / "known.png")
    (more / "known.png").rename(more / "known.JFIF")
    said = command(finished, "index", copied, "--add", more).stdout
    assert f"{copied}: 3 added, 2 were there already, 1 can't be read" in said
    assert "broken.jpg: not an image of a known kind" in said
    names = [item.name for item in Index(copied).items.get(range(1797, 1800))]
    assert sorted(names) == ["0001.png", "0002.png", "deeper/naïve.png"]
    (first, *_) = json.loads(command(finished, "search", copied, more / "0002.png", "--json", "-k", "1").stdout)[
        "results"
    ]
    assert first["distance"] == 0
    assert "0 added, 5 were there already" in command(finished, "index", copied, "--add", more).stdout


def test_an_addition_that_is_killed_is_continued_and_never_seen_half(
    finished: Project, copied: Path, tmp_path: Path
) -> None:
    more = noise(tmp_path / "more", 700)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "index", copied, "--add", more], cwd=finished.folder, env=finished.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    from pipeline.operations.search.items import Items

    for _ in range(6000):
        if Items(copied / "items.sqlite").count() > 1797:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = Items(copied / "items.sqlite").count()
    assert 1797 < stored, "the kill came before the first block"
    assert Index(copied).count in (1797, 2497)
    said = command(finished, "index", copied, "--add", more).stdout
    assert "can't be read" in said
    assert Index(copied).count == 2497
    assert len({item.name for item in Index(copied).items.get(range(1797, 2497))}) == 700


def test_a_build_that_is_killed_leaves_nothing(finished: Project, tmp_path: Path) -> None:
    target = tmp_path / "built"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "index", "csq-wr-16", "--to", target], cwd=finished.folder, env=finished.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    aside = tmp_path / ".built.partial"
    for _ in range(6000):
        if (aside / "items.sqlite").exists():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert command(finished, "search", target, "1", check=False).returncode == 1
    command(finished, "index", "csq-wr-16", "--to", target)
    assert Index(target).count == 1797 and not aside.exists()


def test_kinds_are_measured(finished: Project) -> None:
    said = command(finished, "measure", CELL.name).stdout
    folder = finished.results / "index" / f"{CELL.name}.measured"
    assert sorted(file.name for file in folder.iterdir()) == ["kinds.csv", "kinds.md", "kinds.png"]
    rows = [line.split(" | ") for line in (folder / "kinds.md").read_text().splitlines()[2:]]
    assert {row[0].strip("| ") for row in rows} == {"flat", "hnsw", "ivf", "multihash"}
    assert rows[0][2] == "1.000" and "kinds.csv" in said
