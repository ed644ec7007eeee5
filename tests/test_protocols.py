"""Protocols: properties over random multi-hot labels, explicit loops, pinned digests, a line for each mistake."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import protocols
from pipeline.preparation import splits
from pipeline.preparation.splits import Split
from pipeline.protocols._sampling import permutation
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json
from tests.conftest import ROOT, copy_project, make_small
from tests.messages import one_line

Labels = npt.NDArray[np.uint8]

DRAWN = ("query", "validation", "train")
SMALL = {"query": 3, "validation": 2, "train": 4}
WR = {"query": 100, "validation": 100, "train": 500}
#: Every protocol, counts in both ways; (name, its numbers, images a class or None, images in total or None).
CASES: dict[str, tuple[str, dict[str, Any], dict[str, int] | None, dict[str, int] | None]] = {
    "wr": ("wr", {}, WR, None),
    "hswd": ("hswd", SMALL, None, SMALL),
    "counts-per-class": ("counts", {"per_class": SMALL}, SMALL, None),
    "counts-total": ("counts", {"total": SMALL}, None, SMALL),
}
case = pytest.mark.parametrize("case", CASES)


def multi_hot(n: int, classes: int, density: float, seed: int) -> Labels:
    return (np.random.default_rng(seed).random((n, classes)) < density).astype(np.uint8)


@st.composite
def labels_for(draw: st.DrawFn, smallest: int, largest: int) -> Labels:
    """From a few labels to all of them, with images of none, one or several."""
    n, classes = draw(st.integers(smallest, largest)), draw(st.integers(1, 4))
    return multi_hot(n, classes, draw(st.sampled_from([0.1, 0.3, 0.6, 1.0])), draw(st.integers(0, 2**32)))


def sizes(case: str) -> tuple[int, int]:
    return (500, 4000) if case == "wr" else (1, 80)


def drawn_by(case: str, labels: Labels, seed: int) -> Split:
    name, numbers, _, _ = CASES[case]
    return protocols.create(name, **numbers).split(labels, [], seed)


def by_loops(case: str, labels: Labels, seed: int) -> dict[str, list[int]] | str:
    """The same draw with lists and sets: each part, or what there was too little of."""
    _, _, per_class, total = CASES[case]
    order, taken, drawn = permutation(len(labels), seed).tolist(), set[int](), dict[str, list[int]]()
    for part in DRAWN if per_class else ("query", "train", "validation"):
        drawn[part] = []
        for label in range(labels.shape[1]) if per_class else [None]:
            wanted = (per_class or total or {})[part]
            left = [i for i in order if i not in taken and (labels[i].any() if label is None else labels[i, label])]
            if len(left) < wanted:
                return f"class number {label} has {len(left)} images" if per_class else f"{len(left)} labelled images"
            drawn[part] += left[:wanted]
            taken.update(left[:wanted])
    return {part: sorted(indices) for part, indices in drawn.items()}


@case
@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**63))
def test_any_labels_give_a_right_split_or_one_line(case: str, data: st.DataObject, seed: int) -> None:
    labels = data.draw(labels_for(*sizes(case)))
    expected = by_loops(case, labels, seed)
    if isinstance(expected, str):
        with pytest.raises(UserError) as error:
            drawn_by(case, labels, seed)
        one_line(error, expected, "split.")
        return
    split = drawn_by(case, labels, seed)
    split.check(len(labels))
    assert {part: getattr(split, part).tolist() for part in DRAWN} == expected

    query, validation, train = (set(getattr(split, part).tolist()) for part in DRAWN)
    database = set(split.database.tolist())
    assert query | database == set(range(len(labels)))
    assert not query & database
    assert not validation & train
    assert validation | train <= database
    unlabelled = set(np.flatnonzero(~labels.any(axis=1)).tolist())
    assert not unlabelled & (query | validation | train)
    assert unlabelled <= database
    _, _, per_class, total = CASES[case]
    for part in DRAWN:
        chosen = labels[getattr(split, part)]
        if total:
            assert len(chosen) == total[part]
        else:
            assert per_class is not None
            assert len(chosen) == per_class[part] * labels.shape[1]
            assert (chosen.sum(axis=0) >= per_class[part]).all()
    assert drawn_by(case, labels.copy(), seed).digest() == split.digest(), "the same seed, the same split"


@case
@settings(max_examples=25, deadline=None)
@given(seeds=st.lists(st.integers(0, 2**63), min_size=2, max_size=4, unique=True), of_labels=st.integers(0, 2**32))
def test_another_seed_gives_another_split(case: str, seeds: list[int], of_labels: int) -> None:
    labels = multi_hot(5000 if case == "wr" else 300, 3, 0.5, of_labels)
    assert len({drawn_by(case, labels, seed).digest() for seed in seeds}) == len(seeds)


@pytest.mark.parametrize(
    ("case", "digest"),
    [
        ("wr", "f1b16789b5e11d18c9c1861de54ed1b3d1f081e200b1b09150619b0b773b5140"),
        ("hswd", "99a98a620cf55c0fadecca38055fc92d114d9a6c1162d636f42b3c268680bcec"),
        ("counts-per-class", "ceef0715b45956b996cccb030cf34e3b4a0a1314df6e66fc8c2d7bf1048fe9e5"),
        ("counts-total", "99a98a620cf55c0fadecca38055fc92d114d9a6c1162d636f42b3c268680bcec"),
    ],
    ids=CASES,
)
def test_the_split_is_the_same_on_every_machine_and_version(case: str, digest: str) -> None:
    """Of labels that no random generator makes: multiples of 2, 3 and 5; 4 of 15 images have none."""
    labels = np.stack([np.arange(9000) % divisor == 0 for divisor in (2, 3, 5)], axis=1).astype(np.uint8)
    assert drawn_by(case, labels, 0).digest() == digest


def test_wr_is_counts_with_the_papers_numbers() -> None:
    labels = multi_hot(9000, 4, 0.4, 0)
    assert drawn_by("wr", labels, 3).digest() == protocols.create("counts", per_class=WR).split(labels, [], 3).digest()


def test_wr_keeps_train_and_validation_in_the_database() -> None:
    """CIFAR-10's sizes: 60,000 images of 10 classes."""
    split = drawn_by("wr", np.tile(np.eye(10, dtype=np.uint8), (6000, 1)), 0)
    sizes = {part: len(getattr(split, part)) for part in (*DRAWN, "database")}
    assert sizes == {"query": 1000, "validation": 1000, "train": 5000, "database": 59000}


#: CIFAR-10's labels and ids: 50,000 training images, then 10,000 test images, of ten classes.
CIFAR10 = np.tile(np.eye(10, dtype=np.uint8), (6000, 1))
CIFAR10_IDS = [f"{'train' if row < 50_000 else 'test'}/{row}.png" for row in range(60_000)]


def cifar10(name: str, seed: int) -> Split:
    split = protocols.create(name).split(CIFAR10, CIFAR10_IDS, seed)
    split.check(len(CIFAR10))
    return split


@pytest.mark.parametrize(
    ("name", "sizes", "digest"),
    [
        ("wr", (1000, 59_000, 5000, 1000), "01e82810e520ae1d2ed88f8d06b5f70d79f754174642ed8b4225662d650890a0"),
        (
            "cifar10_full",
            (1000, 59_000, 58_000, 1000),
            "d21d9eff7f58dd5fc1ad1d97161488ae873cd180172f9cc63aebc4495b2bc657",
        ),
        (
            "cifar10_official",
            (10_000, 50_000, 49_000, 1000),
            "cda1076ddde597b50b3c8c111b1f589924ab81faa84ef8f80b96defd9add482d",
        ),
    ],
)
def test_the_customary_splits_of_cifar10(name: str, sizes: tuple[int, ...], digest: str) -> None:
    split = cifar10(name, 0)
    assert (len(split.query), len(split.database), len(split.train), len(split.validation)) == sizes
    for part in (split.query, split.train, split.validation):
        assert len(set(CIFAR10[part].sum(axis=0))) == 1, "as many images of each class"
    assert set(split.train) | set(split.validation) <= set(split.database)
    assert set(split.query) | set(split.database) == set(range(60_000))
    assert split.digest() == digest


def test_cifar10_full_differs_from_wr_in_train_alone() -> None:
    full, wr = cifar10("cifar10_full", 3), cifar10("wr", 3)
    for part in ("query", "database", "validation"):
        assert np.array_equal(getattr(full, part), getattr(wr, part))
    assert set(wr.train) < set(full.train) == set(full.database) - set(full.validation)


def test_cifar10_full_trains_on_no_image_without_a_label() -> None:
    split = protocols.create("cifar10_full").split(np.vstack([CIFAR10, np.zeros((5, 10), np.uint8)]), [], 0)
    assert not set(range(60_000, 60_005)) & set(split.train)
    assert set(range(60_000, 60_005)) <= set(split.database)


def test_cifar10_official_is_the_published_division_for_every_seed() -> None:
    drawn = [cifar10("cifar10_official", seed) for seed in (0, 1, 100)]
    assert len({split.digest() for split in drawn}) == 1
    assert drawn[0].query.tolist() == list(range(50_000, 60_000))
    assert drawn[0].database.tolist() == list(range(50_000))


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ([f"{row}.png" for row in range(60_000)], "found 0 and 0 of 60,000"),
        ([name.replace("test", "val") for name in CIFAR10_IDS], "found 0 and 50,000 of 60,000"),
        (["valid/0.png", *CIFAR10_IDS[1:]], "found 10,000 and 49,999 of 60,000"),
    ],
)
def test_cifar10_official_needs_to_know_the_test_images(ids: list[str], line: str) -> None:
    with pytest.raises(UserError) as error:
        protocols.create("cifar10_official").split(CIFAR10, ids, 0)
    one_line(error, "split.protocol 'cifar10_official': expected images below test/ and train/", line)


def test_cifar10_official_of_too_few_images_is_one_line() -> None:
    rows = [*range(500), *range(50_000, 50_100)]
    with pytest.raises(UserError) as error:
        protocols.create("cifar10_official").split(CIFAR10[rows], [CIFAR10_IDS[row] for row in rows], 0)
    one_line(error, "split.protocol 'cifar10_official': class number 0 has 50 images left for validation, 100 are")


@pytest.mark.slow
def test_cifar10_official_in_a_project(tmp_path: Path) -> None:
    """The stages prepare and split, from files of CIFAR-10's own form: 250 images in each of the six."""
    project = copy_project(tmp_path / "project")
    make_small(project)
    place = tmp_path / "cifar" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        content = {"data": np.full((250, 3072), number, np.uint8), "labels": [row % 10 for row in range(250)],
                   "filenames": [f"{number}_{row}.png" for row in range(250)]}  # fmt: skip
        (place / name).write_bytes(pickle.dumps(content, protocol=2))
    project.edit("dataset", {"name": "cifar10", "path": str(place.parent), "download": False, "image_size": 8,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("split", {"protocol": "cifar10_official"})
    project.repro("split@0", "split@1")
    found = [splits.load(project.results / "splits" / str(seed)) for seed in (0, 1)]
    assert found[0].digest() == found[1].digest()
    assert found[0].query.tolist() == list(range(1250, 1500))
    assert found[0].database.tolist() == list(range(1250))
    assert (len(found[0].train), len(found[0].validation)) == (250, 1000)
    record = read_json(project.results / "splits" / "1" / "split.json")
    assert record["fixed_by"] == "CIFAR-10's own test and training images"


def test_hswd_draws_at_random_over_classes() -> None:
    """The share of a class among the drawn is its share of the images, and each image has the same chance."""
    labels = np.repeat(np.eye(2, dtype=np.uint8), [20, 80], axis=0)
    protocol, seen = protocols.create("hswd", query=20, train=20, validation=20), np.zeros(100)
    for seed in range(200):
        seen[protocol.split(labels, [], seed).query] += 1
    assert 640 < seen[:20].sum() < 960  # 800 expected, standard deviation 23
    assert seen.min() > 15  # 40 expected, standard deviation 5.7
    assert seen.max() < 65


def test_the_number_of_validation_images_changes_neither_query_nor_train_of_hswd() -> None:
    labels = multi_hot(200, 3, 0.5, 0)
    few, many = (protocols.create("hswd", query=20, train=30, validation=n).split(labels, [], 0) for n in (1, 80))
    assert np.array_equal(few.query, many.query)
    assert np.array_equal(few.train, many.train)


@pytest.mark.parametrize(
    ("name", "numbers", "line"),
    [
        ("wr", {}, "split.protocol 'wr': class number 1 has 50 images left for train, 500 are wanted"),
        ("counts", {"per_class": {**SMALL, "train": 246}}, "split.per_class.train: class number 1 has 245 images left"),
        ("counts", {"total": {**SMALL, "query": 1251}}, "split.total.query: 1250 labelled images are left for query"),
        ("counts", {"total": {**SMALL, "train": 1248}}, "split.total.train: 1247 labelled images are left for train"),
        ("hswd", {**SMALL, "validation": 1244}, "split.validation: 1243 labelled images are left for validation, 1244"),
    ],
)
def test_too_few_images_are_one_line(name: str, numbers: dict[str, Any], line: str) -> None:
    labels = np.repeat(np.eye(3, dtype=np.uint8), [1000, 250, 50], axis=0)[:, :2]
    with pytest.raises(UserError) as error:
        protocols.create(name, **numbers).split(labels, [], 0)
    one_line(error, line)


@pytest.mark.parametrize(
    ("name", "numbers", "line"),
    [
        ("counts", {}, "protocol 'counts' needs per_class or total"),
        ("counts", {"per_class": SMALL, "total": SMALL}, "protocol 'counts' takes per_class or total, not both"),
        ("counts", {"total": {"query": 3}}, "protocol 'counts' needs total: validation, train"),
        ("counts", {"total": {**SMALL, "train": 0}}, "protocol 'counts', total"),
        ("hswd", {"query": 3, "train": 5}, "protocol 'hswd' needs validation"),
        ("wr", {"query": 3}, "protocol 'wr' takes no 'query'; it takes: none"),
    ],
)
def test_numbers_that_a_protocol_does_not_take_are_one_line(name: str, numbers: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as error:
        protocols.create(name, **numbers)
    one_line(error, line)


def test_the_list_describes_every_protocol() -> None:
    command = [sys.executable, "-m", "pipeline", "list"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = listed.split("\nprotocols\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == protocols.names()
    assert all(len(line.split()) > 5 for line in lines)
