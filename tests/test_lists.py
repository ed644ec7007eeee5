"""Protocol ``lists``: files in the field's format, a line for each mistake, a study from its lists to its tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import protocols
from pipeline.params import read as read_params
from pipeline.preparation import arrays, splits
from pipeline.preparation.splits import Split
from pipeline.report.source import read
from pipeline.report.tables import build
from pipeline.runtime.errors import UserError
from pipeline.training.trial import tuning_split
from tests.conftest import Project, copy_project, grid, make_small
from tests.datasets.making import photo, text
from tests.messages import one_line

#: Twelve images of three classes; the last has no label.
IDS = [f"images/{kind}/{number:04}.jpg" for number in range(4) for kind in ("bird", "cat", "dog")]
LABELS = np.array([*np.eye(3, dtype=np.uint8).tolist() * 3, [1, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=np.uint8)
TEST, DATABASE, TRAIN = [0, 1], [2, 3, 4, 5, 6, 7, 8, 9, 11], [3, 4, 5, 6]


def lines(rows: list[int], prefix: str = "") -> str:
    """Lines as HashNet's lists have them: ``image/n02256656_13626.JPEG 0 0 1``."""
    return "".join(f"{prefix}{IDS[row]} {' '.join(map(str, LABELS[row]))}\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("test", TEST), ("database", DATABASE), ("train", TRAIN)):
        text(tmp_path / f"{name}.txt", lines(rows))
    return tmp_path


def split_of(folder: Path, seed: int = 0, validation: int = 2, validation_from: str = "train") -> Split:
    protocol = protocols.create("lists", folder=str(folder), validation=validation, validation_from=validation_from)
    return protocol.split(LABELS, IDS, seed)


def test_the_split_is_what_the_lists_say(folder: Path) -> None:
    split = split_of(folder)
    split.check(len(IDS))
    assert split.query.tolist() == TEST
    assert split.database.tolist() == DATABASE
    assert len(split.validation) == 2
    assert sorted([*split.train, *split.validation]) == TRAIN, "validation images leave train"


def test_validation_comes_from_the_rest_of_the_database(folder: Path) -> None:
    split = split_of(folder, validation=4, validation_from="database")
    split.check(len(IDS))
    assert split.train.tolist() == TRAIN
    assert set(split.validation.tolist()) <= set(DATABASE) - set(TRAIN) - {11}, "and never an image without a label"
    assert split.database.tolist() == DATABASE


@pytest.mark.parametrize("validation_from", ["train", "database"])
def test_every_seed_has_the_same_split(folder: Path, validation_from: str) -> None:
    digests = {split_of(folder, seed, validation_from=validation_from).digest() for seed in (0, 1, 2, 100, 2**32 - 1)}
    assert len(digests) == 1


def test_the_split_is_the_same_on_every_machine_and_version(folder: Path) -> None:
    assert split_of(folder).validation.tolist() == [4, 5]
    assert split_of(folder, validation_from="database").validation.tolist() == [2, 9]


def test_train_may_lie_outside_the_database_as_in_mirflickrs_lists(folder: Path) -> None:
    rest = [row for row in DATABASE if row not in TRAIN]
    text(folder / "database.txt", lines(rest))
    split = split_of(folder)
    split.check(len(IDS))
    assert split.database.tolist() == rest
    assert sorted([*split.train, *split.validation]) == TRAIN


@pytest.mark.parametrize("prefix", ["./", "/home/x/data/", "data\\", "../data/nus-wide/", "C:\\data\\", ".//"])
def test_paths_may_begin_at_another_folder(folder: Path, prefix: str) -> None:
    for name, rows in (("test", TEST), ("database", DATABASE), ("train", TRAIN)):
        text(folder / f"{name}.txt", lines(rows, prefix))
    assert split_of(folder).query.tolist() == TEST


def test_paths_may_leave_out_the_first_folders_of_the_ids(folder: Path) -> None:
    for file in folder.glob("*.txt"):
        text(file, file.read_text().replace("images/", ""))
    assert split_of(folder).query.tolist() == TEST


def test_ends_of_lines_of_windows_blank_lines_and_a_byte_order_mark_are_read(folder: Path) -> None:
    text(folder / "test.txt", "\ufeff" + lines(TEST).replace("\n", "\r\n") + "\r\n\r\n")
    assert split_of(folder).query.tolist() == TEST


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["test.txt: expected lines of a path and labels, found no lines"]),
        ("images/bird/0000.jpg 1 0\n", ["test.txt:1", "3 columns of 0 or 1 (as many as the dataset has", "found 2"]),
        ("images/bird/0000.jpg 0\n", ["test.txt:1", "expected a path without blanks and 3 columns", "found 1 columns"]),
        ("images/bird/0000.jpg 1 0 2\n", ["test.txt:1", "expected 0 or 1 after the path, found '2'"]),
        (lines([0]) + "a/b.jpg 1 0 0\nc.jpg 1 0 0\n", ["test.txt:2: a/b.jpg isn't in the dataset", "2 of the list's 3",
                                                      "like images/bird/0000.jpg"]),
        (lines([0]) + "0001.jpg 1 0 0\n", ["test.txt:2", "may be images/bird/0001.jpg or images/cat/0001.jpg"]),
        ("x/cat/0000.jpg 0 1 0\n", ["test.txt:1: x/cat/0000.jpg isn't in the dataset"]),
        ("ages/bird/0000.jpg 1 0 0\n", ["test.txt:1: ages/bird/0000.jpg isn't in the dataset"]),
        (lines([0]) + "images/cat/0000.jpg 0 0 1\n", ["test.txt:2", "0 for class number 1, but 1 in the dataset",
                                                      "differ for 1 of 2"]),
        (lines([0, 1, 0]), ["test.txt:3: images/bird/0000.jpg is already on line 1"]),
        (lines([0, 1]) + lines([0], "/data/"), ["test.txt:3", "is the image that line 1 names"]),
        (lines([0, 2, 7]), ["test.txt and database.txt share 2 images", IDS[2], "must not be in the database"]),
    ],
)  # fmt: skip
def test_a_wrong_list_is_one_line(folder: Path, content: str, parts: list[str]) -> None:
    text(folder / "test.txt", content)
    with pytest.raises(UserError) as error:
        split_of(folder)
    one_line(error, str(folder), *parts)


def test_a_query_in_train_alone_is_one_line(folder: Path) -> None:
    text(folder / "train.txt", lines([0, 3, 4, 5]))
    with pytest.raises(UserError) as error:
        split_of(folder)
    one_line(error, "test.txt and train.txt share 1 images, the first is images/bird/0000.jpg")


@pytest.mark.parametrize("name", ["train.txt", "test.txt", "database.txt"])
def test_a_missing_file_is_one_line(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError) as error:
        split_of(folder)
    one_line(error, f"split.folder: {folder / name} not found; expected train.txt, test.txt, database.txt there")


def test_files_that_are_no_text_are_one_line(folder: Path) -> None:
    (folder / "test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError) as error:
        split_of(folder)
    one_line(error, "test.txt: not UTF-8 text")
    with pytest.raises(UserError) as error:
        split_of(folder / "test.txt")
    one_line(error, "split.folder", "can't be read")


@pytest.mark.parametrize(
    ("validation", "validation_from", "line"),
    [
        (5, "train", "split.validation: 4 labelled images are left for validation, 5 are wanted"),
        (4, "train", "split.validation: no image is left for train; expected less than 4"),
        (5, "database", "split.validation: 4 labelled images are left for validation, 5 are wanted"),
    ],
)
def test_too_many_validation_images_are_one_line(
    folder: Path, validation: int, validation_from: str, line: str
) -> None:
    with pytest.raises(UserError) as error:
        split_of(folder, 0, validation, validation_from)
    one_line(error, line)


# A study with lists: two cells of a tuned group, which differ only in their seed.


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Forty images; the lists' paths begin at another folder than the dataset's."""
    place = tmp_path_factory.mktemp("lists")
    project = copy_project(place / "project")
    make_small(project)
    for number in range(40):
        photo(place / "pets" / "images" / f"{number}.png", number)
    every = [f"images/{number}.png {number % 2} {1 - number % 2}\n" for number in range(40)]
    text(place / "pets" / "images.txt", "".join(every))
    for name, rows in (("test", every[:8]), ("database", every[8:]), ("train", every[8:28])):
        text(place / "lists" / f"{name}.txt", "".join(f"./data/pets/{row}" for row in rows))
    project.edit("dataset", {"name": "images", "path": str(place / "pets"), "labels": "images.txt", "image_size": 8,
                             "on_bad_image": "error"})  # fmt: skip
    project.edit("split", {"protocol": "lists", "folder": str(place / "lists"), "validation": 4,
                           "validation_from": "train"})  # fmt: skip
    project.edit("grid", grid(seeds=[0, 1]))
    project.edit("training.batch_size", 8)
    project.edit("tune", {"seeds": [100]})
    project.edit("candidates.original", {"learning_rate": [0.001]})
    project.repro()
    return project


def ran(project: Project) -> set[str]:
    """The kinds of stages that ran, those apart that look at files."""
    kinds = {stage.split(":")[-1].split("@")[0] for stage in project.repro()}
    assert "files-lists" in kinds
    return kinds - {"files-dataset", "files-lists"}


@pytest.mark.slow
@pytest.mark.xdist_group("lists")
def test_a_study_has_one_split_and_its_tables_say_so(study: Project) -> None:
    found = [splits.load(study.results / "splits" / str(seed)) for seed in (0, 1)]
    assert found[0].digest() == found[1].digest()
    assert [len(part) for part in (found[0].query, found[0].database, found[0].train)] == [8, 32, 16]
    assert json.loads((study.results / "splits" / "0" / "split.json").read_text())["fixed_by"] == "lists"
    tables = {table.name: " ".join(table.caption) for table in build(read(study.results / "tables"))}
    for name in ("results", "balance", "cells"):
        assert "The split is fixed by lists; seeds differ only in training." in tables[name], name
    weights = {
        (study.results / "train" / f"csq-original-16-{seed}" / "weights.safetensors").read_bytes() for seed in (0, 1)
    }
    assert len(weights) == 2, "seeds differ in training"


@pytest.mark.slow
@pytest.mark.xdist_group("lists")
def test_a_tuning_seed_has_the_lists_split_without_queries(study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.folder)
    params, data = read_params(), arrays.load(study.results / "data" / "prepared")
    tuning, own = tuning_split(params, data, 100), splits.load(study.results / "splits" / "0")
    for part in ("database", "train", "validation"):
        assert np.array_equal(getattr(tuning, part), getattr(own, part))
        assert not np.intersect1d(getattr(tuning, part), own.query).size


@pytest.mark.slow
@pytest.mark.xdist_group("lists")
def test_changed_lists_are_noticed(study: Project) -> None:
    lists = study.folder.parent / "lists"
    assert ran(study) == set(), "nothing has changed"
    before = (lists / "train.txt").read_text()
    text(lists / "train.txt", before)  # another time, the same bytes
    assert ran(study) == set()
    text(lists / "train.txt", "".join(before.splitlines(keepends=True)[1:]))
    assert {"split", "tune", "train"} <= ran(study)
    text(lists / "test.txt", (lists / "test.txt").read_text() + before.splitlines()[0] + "\n")
    done = study.run("dvc", "repro", check=False)
    assert done.returncode and "test.txt and database.txt share 1 images" in done.stderr
    assert "Traceback" not in done.stderr
    text(lists / "test.txt", "".join((lists / "test.txt").read_text().splitlines(keepends=True)[:-1]))
    ran(study)
    assert "follow from them" in study.run("python", "-m", "pipeline", "verify").stdout


@pytest.mark.slow
@pytest.mark.xdist_group("lists")
def test_lists_that_move_or_are_absent_change_no_result(study: Project) -> None:
    lists = study.folder.parent / "lists"
    study.repro()
    shutil.move(lists, study.folder.parent / "elsewhere")
    try:
        assert ran(study) == set(), "who has no lists keeps what was made of them"
        done = study.run("python", "-m", "pipeline", "verify", check=False)
        assert done.returncode and "the split of seed 0 can't be drawn again (split.folder: " in done.stderr
        study.edit("split.folder", str(study.folder.parent / "elsewhere"))
        assert "train" not in ran(study)
    finally:
        study.edit("split.folder", str(lists))
        shutil.move(study.folder.parent / "elsewhere", lists)


def test_lists_are_watched() -> None:
    from pipeline.params import check
    from pipeline.runtime.yaml12 import parse
    from tests.conftest import ROOT

    content = parse((ROOT / "params.yaml").read_text())
    content["split"] = {"protocol": "lists", "folder": "data/lists", "validation": 9, "validation_from": "train"}
    line = (
        "watch.lists: expected [always], so that changed files are noticed, since split.folder is data/lists; found []"
    )
    assert check(content) == [line]
    content["watch"]["lists"] = ["always"]
    assert check(content) == []
