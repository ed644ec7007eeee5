"""Datasets, protocols, splits, registries, and outputs that appear whole or not at all."""

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import datasets, protocols
from pipeline.datasets import Dataset
from pipeline.preparation import splits
from pipeline.preparation.splits import PARTS, Split
from pipeline.protocols import Protocol
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Layout
from pipeline.runtime.outputs import atomic_folder, read_json, write_json
from pipeline.runtime.registry import Registry
from tests.messages import one_line

Labels = npt.NDArray[np.uint8]

PER_CLASS = {"query": 30, "validation": 20, "train": 50}


# The digits and the counts protocol.


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.create("digits", path=None)


def counted(labels: Labels, seed: int = 0, **per_class: int) -> Split:
    split = protocols.create("counts", per_class={**PER_CLASS, **per_class}).split(labels, [], seed)
    split.check(len(labels))
    return split


def test_counts_gives_every_class_its_number(digits: Dataset) -> None:
    split = counted(digits.labels)
    for part, wanted in PER_CLASS.items():
        assert digits.labels[getattr(split, part)].sum(axis=0).tolist() == [wanted] * 10, part
    assert len(split.database) == 1797 - 300


def test_counts_keeps_the_parts_apart(digits: Dataset) -> None:
    split = counted(digits.labels)
    query, database, train, validation = (set(getattr(split, part).tolist()) for part in PARTS)
    assert not query & database
    assert query | database == set(range(1797))
    assert train < database
    assert validation < database
    assert not train & validation
    for part in PARTS:
        indices = getattr(split, part)
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all(), f"{part} is sorted, none twice"


def test_counts_is_the_seeds_alone(digits: Dataset) -> None:
    first = counted(digits.labels)
    np.random.seed(5)
    assert first.digest() == counted(digits.labels).digest()
    assert len({counted(digits.labels, seed).digest() for seed in range(5)}) == 5


def test_counts_draws_the_same_split_on_every_machine_and_version(digits: Dataset) -> None:
    """Published numbers belong to these images: no NumPy or scikit-learn may change which they are."""
    expected = "dd8c6b341036ba7cd56dfecbd9a23ab4dd7dadf79569030818edd56027a1450d"
    assert counted(digits.labels, seed=0).digest() == expected


def test_counts_is_a_random_draw(digits: Dataset) -> None:
    """Each image is a query with the same chance, whatever its place in the dataset."""
    labels = np.tile(np.eye(2, dtype=np.uint8), (50, 1))
    seen = np.zeros(100)
    for seed in range(200):
        seen[counted(labels, seed, query=10, validation=1, train=1).query] += 1
    assert seen.sum() == 200 * 20
    assert seen.min() > 15  # 40 expected, standard deviation 5.7
    assert seen.max() < 65


def test_counts_draws_an_image_with_several_labels_once() -> None:
    labels = (np.random.default_rng(0).random((400, 5)) < 0.4).astype(np.uint8)
    per_class = {"query": 12, "validation": 5, "train": 20}
    split = counted(labels, **per_class)  # which checks that no image is twice in a part
    for part, wanted in per_class.items():
        indices = getattr(split, part)
        assert len(indices) == 5 * wanted
        assert (labels[indices].sum(axis=0) >= wanted).all()
    drawn = [set(getattr(split, part).tolist()) for part in ("query", "validation", "train")]
    assert not any(a & b for a, b in itertools.combinations(drawn, 2))


@pytest.mark.parametrize(
    ("part", "too_many", "left"), [("query", 179, 178), ("validation", 149, 148), ("train", 129, 128)]
)
def test_counts_refuses_more_than_there_are(digits: Dataset, part: str, too_many: int, left: int) -> None:
    with pytest.raises(UserError) as error:
        counted(digits.labels, **{part: too_many})
    one_line(error, f"split.per_class.{part}", f"{left} images", "class number 0", str(too_many))


# Splits on disk.

MANIFEST = {"images": 10, "content_hash": "abc"}
GOOD = {"query": [0, 1], "database": [2, 3, 4, 5, 6, 7, 8, 9], "train": [2, 3], "validation": [5]}


def split_of(**parts: list[int]) -> Split:
    return Split(**{name: np.array(indices, dtype=np.int64) for name, indices in {**GOOD, **parts}.items()})


def test_split_comes_back_as_it_was_written(tmp_path: Path) -> None:
    split = split_of()
    splits.write(split, tmp_path, protocol="counts", seed=3, manifest=MANIFEST)
    loaded = splits.load(tmp_path)
    for part in PARTS:
        assert np.array_equal(getattr(loaded, part), getattr(split, part))
    assert read_json(tmp_path / "split.json") == {
        "protocol": "counts",
        "seed": 3,
        "query": 2,
        "database": 8,
        "train": 2,
        "validation": 1,
        "split_hash": split.digest(),
        "content_hash": "abc",
    }


@pytest.mark.parametrize("part", PARTS)
def test_split_that_was_tampered_with_is_refused(tmp_path: Path, part: str) -> None:
    splits.write(split_of(), tmp_path, protocol="counts", seed=0, manifest=MANIFEST)
    indices = np.load(tmp_path / f"{part}.npy")
    indices[0] += 1
    np.save(tmp_path / f"{part}.npy", indices)
    with pytest.raises(UserError) as error:
        splits.load(tmp_path)
    one_line(error, str(tmp_path), "split_hash", "dvc repro")


def test_split_hash_tells_the_parts_apart() -> None:
    swapped = split_of(train=GOOD["validation"], validation=GOOD["train"])
    assert split_of().digest() != swapped.digest()


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"query": [0, 2]}, "query and database share 1"),
        ({"train": [2, 5]}, "train and validation share 1"),
        ({"train": [2, 0]}, "query and train share 1"),
        ({"validation": [1]}, "query and validation share 1"),
        ({"query": []}, "query must hold at least one"),
        ({"train": [2, 2]}, "train must hold at least one image and none twice"),
        ({"query": [0, 10]}, "query names images outside"),
        ({"query": [-1, 0]}, "query names images outside"),
    ],
)
def test_split_that_breaks_a_rule_is_not_written(tmp_path: Path, parts: dict[str, list[int]], named: str) -> None:
    with pytest.raises(UserError) as error:
        splits.write(split_of(**parts), tmp_path, protocol="counts", seed=0, manifest=MANIFEST)
    one_line(error, named)
    assert not list(tmp_path.iterdir())


# Outputs that appear whole or not at all.


def test_whole_folder_appears_whole(tmp_path: Path) -> None:
    target, aside = tmp_path / "results" / "data", tmp_path / "results" / ".partial" / "data"
    with atomic_folder(target, aside) as folder:
        (folder / "a.txt").write_text("new")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "new"
    assert not aside.parent.exists()


def test_whole_folder_replaces_what_was_there(tmp_path: Path) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with atomic_folder(target, aside) as folder:
        (folder / "new.txt").write_text("new")
        assert (target / "old.txt").exists()
    assert [file.name for file in target.iterdir()] == ["new.txt"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_whole_folder_leaves_the_old_one_where_the_block_raises(tmp_path: Path, kind: type[BaseException]) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(kind), atomic_folder(target, aside) as folder:
        (folder / "half.txt").write_text("half")
        raise kind
    assert [file.name for file in target.iterdir()] == ["old.txt"]
    assert not aside.parent.exists()


def test_whole_folder_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    target, aside = tmp_path / "data", tmp_path / ".partial" / "data"
    aside.mkdir(parents=True)
    (aside / "half.txt").write_text("half")
    with atomic_folder(target, aside) as folder:
        assert not list(folder.iterdir())
        (folder / "new.txt").write_text("new")
    assert [file.name for file in target.iterdir()] == ["new.txt"]
    assert not aside.parent.exists()


def test_whole_folder_leaves_another_stages_work_alone(tmp_path: Path) -> None:
    other = tmp_path / ".partial" / "other"
    other.mkdir(parents=True)
    with atomic_folder(tmp_path / "data", tmp_path / ".partial" / "data") as folder:
        (folder / "new.txt").write_text("new")
    assert other.is_dir()


def test_layout_writes_two_cells_aside_of_each_other(tmp_path: Path) -> None:
    layout = Layout("study", tmp_path)
    with layout.atomic_output(layout.split(0)) as first, layout.atomic_output(layout.split(1)) as second:
        (first / "seed.txt").write_text("0")
        (second / "seed.txt").write_text("1")
    assert [(layout.split(seed) / "seed.txt").read_text() for seed in (0, 1)] == ["0", "1"]
    assert sorted(path.name for path in layout.folder.iterdir()) == ["splits"]


def test_json_refuses_nan_and_comes_back_equal(tmp_path: Path) -> None:
    content = {"b": 0.1, "a": [1, None, "ä"], "c": 1 / 3}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    assert list(read_json(tmp_path / "x.json")) == list(content)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "y.json", {"a": float("nan")})


# Registries.


def test_registry_lists_the_files_of_the_folder() -> None:
    assert {"cifar10", "digits"} <= set(datasets.names())
    assert "counts" in protocols.names()
    assert not any(name.startswith("_") for name in datasets.names())


def test_registry_gives_a_class_for_every_name() -> None:
    for name in datasets.names():
        assert issubclass(Registry("pipeline.datasets", "dataset", Dataset).get(name), Dataset)
    for name in protocols.names():
        assert issubclass(Registry("pipeline.protocols", "protocol", Protocol).get(name), Protocol)


@pytest.mark.parametrize("name", ["cifar", "cifar-10", "CIFAR10"])
def test_registry_refuses_an_unknown_name_and_guesses(name: str) -> None:
    with pytest.raises(UserError) as error:
        datasets.create(name, path=None)
    one_line(error, f"unknown dataset {name!r}", *datasets.names())
    assert ("did you mean 'cifar10'?" in str(error.value)) == (name != "CIFAR10")


def test_registry_refuses_what_an_entry_does_not_take() -> None:
    with pytest.raises(UserError) as error:
        datasets.create("shapes", path=None, imags=8)
    one_line(error, "dataset 'shapes'", "'imags'", "did you mean 'images'?", "path, images, seed, side")


def test_registry_refuses_a_value_of_another_kind() -> None:
    with pytest.raises(UserError) as error:
        datasets.create("shapes", path=None, images="8")
    one_line(error, "dataset 'shapes'", "images", "'8'")
    with pytest.raises(UserError) as error:
        protocols.create("counts", per_class={"query": "many"})
    one_line(error, "protocol 'counts'", "per_class", "'many'")


def test_registry_names_what_is_missing() -> None:
    with pytest.raises(UserError) as error:
        datasets.create("digits")
    one_line(error, "dataset 'digits' needs path")
    with pytest.raises(UserError) as error:
        protocols.create("hswd", query=1)
    one_line(error, "protocol 'hswd' needs train, validation")
