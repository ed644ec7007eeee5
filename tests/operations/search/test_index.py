"""The kinds of index, and an index folder: what it finds, and what it refuses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.operations.search import kinds
from pipeline.operations.search.distinct import Distinct
from pipeline.operations.search.index import ITEMS, MODEL, Index, locked, publish
from pipeline.operations.search.items import Items, Packed, Row, content
from pipeline.runtime.errors import UserError

random = np.random.default_rng(0)
ABOUT = {"study": "s", "cell": "csq-wr-12-0", "code_length": 12, "classes": ["a", "b"]}


def codes(count: int, bits: int, clusters: int = 0) -> Packed:
    """Packed random codes; in clusters, each within some bits of a center."""
    if not clusters:
        return np.packbits(random.integers(0, 2, (count, bits), dtype=np.uint8), axis=1)
    centers = random.integers(0, 2, (clusters, bits), dtype=np.uint8)
    flipped = (random.random((count, bits)) < 0.08).astype(np.uint8)
    return np.packbits(centers[random.integers(0, clusters, count)] ^ flipped, axis=1)


def brute_force(queries: Packed, database: Packed, count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Distances and ids of the nearest codes by an explicit loop; equal distances in order of their ids."""
    distances, ids = [], []
    for query in queries:
        far = [int(np.unpackbits(query ^ code).sum()) for code in database]
        order = sorted(range(len(far)), key=lambda place: (far[place], place))[:count]
        ids.append(order)
        distances.append([far[place] for place in order])
    return distances, ids


def blocks(all_codes: Packed, size: int = 300) -> Iterator[Packed]:
    return (all_codes[start : start + size] for start in range(0, len(all_codes), size))


def folder_with(tmp_path: Path, database: Packed, kind: str = "flat") -> Path:
    folder = tmp_path / "index"
    (folder / MODEL).mkdir(parents=True)
    (folder / MODEL / "about.json").write_text("{}")
    items = Items(folder / ITEMS, writable=True)
    items.add(
        Row(f"{n}.png", ["a"] * (n % 2), content(code), code, b"x" if n else None) for n, code in enumerate(database)
    )
    items.close()
    publish(folder, kind, ABOUT)
    return folder


@pytest.mark.parametrize(("kind", "recall"), [("flat", 1.0), ("hnsw", 0.95), ("ivf", 0.8), ("multihash", 0.8)])
@pytest.mark.parametrize("bits", [16, 64])
def test_each_kind_finds_the_nearest(kind: str, recall: float, bits: int) -> None:
    database, queries = codes(2000, bits, 20), codes(20, bits, 20)
    queries[:10] = database[:10]
    index = kinds.made(kind, database)
    assert index.ntotal == len(database)
    distances, _ = index.search(queries[:10], 1)
    assert (distances[:, 0] == 0).all(), "an item is its own nearest"
    expected, _ = brute_force(queries[:10], database, 10)
    found, _ = index.search(queries[:10], 10)
    # By distance, since of equally near codes any may be found.
    within = [near <= far[-1] for row, far in zip(found, expected, strict=True) for near in row]
    assert np.mean(within) >= recall


@pytest.mark.parametrize(("bits", "clusters"), [(8, 0), (12, 0), (64, 3), (72, 0), (128, 3)])
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_items_with_equal_codes_are_found_by_distance_and_id(
    kind: str, bits: int, clusters: int, tmp_path: Path
) -> None:
    database, queries = codes(600, bits, clusters), codes(20, bits, clusters)
    database[300:] = database[:300][random.integers(0, 40, 300)]  # 40 codes with some 8 items each
    made = Distinct.of(kind, blocks(database, 128))
    made.write(tmp_path / "index.faiss")
    for index in (made, Distinct.read(tmp_path / "index.faiss")):
        # A graph may have no way from one far cluster to the next, so it is not asked for all items.
        for count in (1, 7, 100, 600) if kind == "flat" else (1, 7, 50):
            distances, ids = index.search(queries, count)
            expected = brute_force(queries, database, count)
            assert (distances.tolist(), ids.tolist()) == expected or kind == "hnsw"
            near = distances <= np.array(expected[0])[:, -1:]
            assert (near & (distances >= 0)).mean() >= (1 if kind == "flat" else 0.9)


def test_fewer_items_than_asked_for_leave_the_rest_empty() -> None:
    distances, ids = Distinct.of("flat", [codes(3, 16)]).search(codes(2, 16), 5)
    assert (ids[:, 3:] == -1).all() and (distances[:, 3:] == -1).all() and (ids[:, :3] >= 0).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="unknown kind of index 'tree'; expected one of flat, hnsw, ivf, multihash"):
        kinds.made("tree", codes(1, 16))


def test_a_search_returns_items_in_order_of_distance_and_id(tmp_path: Path) -> None:
    database = codes(500, 12)
    index = Index(folder_with(tmp_path, database))
    queries = codes(7, 12)
    distances, ids = brute_force(queries, database, 20)
    found = index.search(queries, 20)
    assert [[one.item.id for one in row] for row in found] == ids
    assert [[one.distance for one in row] for row in found] == distances
    assert found[0][0].item.name == f"{ids[0][0]}.png"
    assert found[0][0].item.labels == ["a"] * (ids[0][0] % 2)
    near = index.search(queries, 20, radius=2)
    assert [len(row) for row in near] == [sum(far <= 2 for far in row) for row in distances]
    assert [len(row) for row in index.search(queries[:1], 1000)] == [500], "no more than there are"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"count": 0}, "number of results: expected 1 to 1,000; found 0"),
        ({"count": 5, "radius": 13}, "radius: expected 0 to 12; found 13"),
        ({"count": 5, "codes": np.zeros((1, 3), np.uint8)}, r"codes: expected uint8 of shape \(n, 2\)"),
    ],
)
def test_arguments_out_of_range_are_refused(argument: dict[str, object], said: str, tmp_path: Path) -> None:
    index = Index(folder_with(tmp_path, codes(5, 12)))
    with pytest.raises(UserError, match=said):
        index.search(**{"codes": codes(1, 12), "count": 1, **argument})  # type: ignore[arg-type]


def test_an_index_that_is_damaged_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no index, since it has no manifest.json"):
        Index(tmp_path)
    folder = folder_with(tmp_path, codes(5, 12))
    (folder / MODEL / "about.json").write_text("{} ")
    with pytest.raises(UserError, match=r"about\.json: missing or changed since the index was built"):
        Index(folder)
    (folder / MODEL / "about.json").write_text("{}")
    (folder / "index-5.faiss").write_bytes(b"no")
    with pytest.raises(UserError, match=r"index-5\.faiss: missing or changed"):
        Index(folder)


def test_what_is_added_counts_when_it_is_published(tmp_path: Path) -> None:
    folder, more = folder_with(tmp_path, codes(5, 12)), codes(3, 12)
    before = Index(folder)
    items = Items(folder / ITEMS, writable=True)
    items.add(Row(f"more/{n}", [], content(code), code, None) for n, code in enumerate(more))
    items.close()
    assert Index(folder).count == 5, "an addition that isn't finished is not seen"
    assert all(one.item.id < 5 for one in Index(folder).search(more[:1], 8)[0])
    publish(folder, "flat", ABOUT)
    assert Index(folder).count == 8
    assert Index(folder).search(more[:1], 8)[0][0].distance == 0
    assert len(before.search(more[:1], 8)[0]) == 5, "who opened it before goes on with what was there"
    assert [file.name for file in sorted(folder.glob("index-*"))] == ["index-8.faiss", "index-8.faiss.npy"]


def test_one_process_at_a_time_adds(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    with locked(tmp_path), pytest.raises(UserError, match="another process adds to this index"), locked(tmp_path):
        pass


def test_what_is_no_index_is_not_locked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no index, since it has no manifest.json"), locked(tmp_path / "wrong"):
        pass
    assert not (tmp_path / "wrong").exists()


def test_items_are_known_by_their_content(tmp_path: Path) -> None:
    items = Items(tmp_path / "items.sqlite", writable=True)
    pixels = random.integers(0, 255, (3, 4, 4, 3), dtype=np.uint8)
    items.add(Row("x", ["a"], content(one), codes(1, 12)[0], None) for one in pixels)
    assert items.known([content(pixels[1]), content(pixels[0] + 1)]) == {content(pixels[1]): 1}
    assert (items.count(), items.thumbnail(0), items.thumbnail(9)) == (3, None, None)
    with pytest.raises(UserError, match="no item 3; expected 0 to 2"):
        items.get([0, 3])


def test_a_file_that_holds_no_items_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match=r"items\.sqlite: can't be read as the items of an index"):
        Items(tmp_path / "items.sqlite")
