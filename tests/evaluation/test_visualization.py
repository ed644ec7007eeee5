"""t-SNE maps and galleries, against a plain reference."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.codes import pack
from pipeline.evaluation.visualization import cell, gallery, tsne
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell
from tests.conftest import ROOT
from tests.messages import one_line

BITS, IMAGES, QUERIES = 12, 90, 20


@pytest.fixture
def data() -> Prepared:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (IMAGES + QUERIES, 8, 8, 3), dtype=np.uint8)
    return Prepared(images, random.integers(0, 2, (IMAGES + QUERIES, 4), dtype=np.uint8), CLASSES)


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    random = np.random.default_rng(2)
    folder = tmp_path / "codes"
    folder.mkdir()
    places = random.permutation(IMAGES + QUERIES)
    for part, indices in (("query", places[:QUERIES]), ("database", places[QUERIES:])):
        np.save(folder / f"{part}_codes.npy", pack(random.choice([-1, 1], (len(indices), BITS)).astype(np.int8)))
        np.save(folder / f"{part}_indices.npy", np.sort(indices))
    return folder


#: Of a manifest: all that a gallery asks for.
CLASSES = {"classes": dict.fromkeys("abcd", 1)}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_gallery_holds_the_nearest_codes(data: Prepared, codes: Path, tmp_path: Path) -> None:
    gallery.write(codes, data, queries=5, neighbours=4, seed=3, target=tmp_path)
    found = rows(tmp_path / "gallery.csv")
    assert [(row["row"], row["rank"]) for row in found] == [(str(r), str(k)) for r in range(5) for k in (1, 2, 3, 4)]
    indices = {part: np.load(codes / f"{part}_indices.npy").tolist() for part in ("query", "database")}
    packed = {part: np.load(codes / f"{part}_codes.npy") for part in ("query", "database")}
    tiles = np.asarray(Image.open(tmp_path / "gallery.png"))
    assert tiles.shape == (5 * 8, 5 * 8, 3)
    for place, row in enumerate(found):
        query, image = int(row["query"]), int(row["image"])
        own = np.unpackbits(packed["query"][indices["query"].index(query)])
        distances = [int((own != np.unpackbits(code)).sum()) for code in packed["database"]]
        order = sorted(range(IMAGES), key=lambda at: (distances[at], at))
        at = order[int(row["rank"]) - 1]
        assert (image, int(row["distance"])) == (indices["database"][at], distances[at])
        assert (row["relevant"] == "yes") == bool((data.labels[query] & data.labels[image]).any())
        top, left = 8 * (place // 4), 8 * int(row["rank"])
        assert (tiles[top : top + 8, left : left + 8] == data.images[image]).all()
        assert (tiles[top : top + 8, :8] == data.images[query]).all()


def test_large_images_are_reduced(codes: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES + QUERIES, 128, 128, 3), dtype=np.uint8)
    large = Prepared(images, np.ones((IMAGES + QUERIES, 2), dtype=np.uint8), CLASSES)
    gallery.write(codes, large, queries=99, neighbours=2, seed=0, target=tmp_path)
    assert Image.open(tmp_path / "gallery.png").size == (3 * gallery.TILE, QUERIES * gallery.TILE)


def test_a_cell_is_shown_the_same_way_each_time(data: Prepared, codes: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"images": 60, "perplexity": 10, "queries": 3, "neighbours": 5}
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        cell.write(settings, codes, data, Cell("csq", "wr", BITS, 7), tmp_path / name)
    files = ("tsne.csv", "gallery.csv", "gallery.png")
    assert all((tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    found = rows(tmp_path / "once" / "tsne.csv")
    assert len(found) == 60 and {row["of"] for row in found} == {"codes"}
    indices = np.load(codes / "database_indices.npy")
    shown = indices[tsne.sample(indices, 60, 7)]
    assert [int(row["label"]) for row in found] == [
        int(np.flatnonzero(label)[0]) if label.any() else -1 for label in data.labels[shown]
    ]


def test_near_points_stay_near() -> None:
    """Three clusters of codes: every point's nearest neighbour on the map is of its own cluster."""
    random = np.random.default_rng(0)
    centers = random.choice([-1.0, 1.0], (3, 32))
    flips = np.where(random.random((90, 32)) < 0.06, -1.0, 1.0)
    cluster = np.arange(90) % 3
    points = tsne.embed(centers[cluster] * flips, perplexity=10, seed=0)
    distances = np.linalg.norm(points[:, None] - points, axis=2) + np.eye(90) * 1e9
    assert (cluster[distances.argmin(axis=1)] == cluster).all()


@pytest.mark.parametrize("width", [1, 16])
def test_collapsed_codes_fall_on_one_point(width: int) -> None:
    assert (tsne.embed(np.ones((50, width)), perplexity=10, seed=0) == 0).all()


def test_one_bit_has_a_map_too() -> None:
    points = tsne.embed(np.repeat([[-1.0], [1.0]], 30, axis=0), perplexity=10, seed=0)
    assert points.shape == (60, 2) and np.isfinite(points).all()


def test_too_few_images_for_the_perplexity_is_one_line() -> None:
    with pytest.raises(UserError) as error:
        tsne.embed(np.ones((20, 4)), perplexity=30, seed=0)
    one_line(error, "visualize.perplexity", "20 images", "found 30")


@pytest.mark.slow
def test_a_map_is_the_same_for_any_number_of_threads() -> None:
    """In processes of their own, since libraries read the variable when they load."""
    program = (
        "import hashlib, numpy as np\nfrom pipeline.evaluation.visualization.tsne import embed\n"
        "vectors = np.random.default_rng(0).normal(size=(300, 48))\n"
        "print(hashlib.sha256(embed(vectors, perplexity=30, seed=0).tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout
        for threads in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1
