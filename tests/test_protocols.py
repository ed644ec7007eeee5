"""Protocols: properties over random multi-hot labels, explicit loops, pinned digests, a line for each mistake."""

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import protocols
from pipeline.preparation.splits import Split
from pipeline.protocols._sampling import permutation
from pipeline.runtime.errors import UserError
from tests.conftest import ROOT
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
