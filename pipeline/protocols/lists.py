"""``lists``: a fixed split, read from train.txt, test.txt and database.txt, as the field publishes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.preparation import lists
from pipeline.preparation.splits import Indices, Split
from pipeline.protocols import Protocol
from pipeline.protocols._matching import Finder, cleaned
from pipeline.protocols._sampling import Labels, labelled, permutation
from pipeline.runtime.errors import UserError
from pipeline.runtime.paths import given
from pipeline.runtime.ranges import PositiveInt

FILES = ("train.txt", "test.txt", "database.txt")
#: Determines which images are drawn for validation, for every seed.
VALIDATION_SEED = 0


class Lists(Protocol):
    """The same split for every seed: test.txt names the queries, database.txt the database, train.txt train.

    Each line is ``path y1 ... yC``, the format of the lists of HashNet (Cao et al., ICCV 2017) for ImageNet-100,
    NUS-WIDE and COCO. Images that no list names are not used. Training images may lie in the database or outside it.

    Deviation: published lists have no validation images. Here they are drawn at random from labelled images, the same
    for every seed. They never are query or train.

    Args:
        folder: the folder of the three files, relative to the project or absolute.
        validation: number of images to select the epoch on.
        validation_from: where they are drawn from. ``train``: from train.txt, so train has that many fewer images.
            ``database``: from the images of database.txt that aren't in train.txt.

    Raises:
        UserError: a file is missing or malformed, names an image that the dataset doesn't have or has with other
            labels, or the lists overlap where they must not.
    """

    fixed_by = "lists"

    def __init__(self, *, folder: str, validation: PositiveInt, validation_from: Literal["train", "database"]) -> None:
        self.folder = given(folder)
        self.validation, self.validation_from = validation, validation_from

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        finder = Finder(ids)
        query, database, train = (
            _listed(self.folder / name, labels, finder) for name in ("test.txt", "database.txt", "train.txt")
        )
        for name, part in (("database.txt", database), ("train.txt", train)):
            if len(both := np.intersect1d(query, part)):
                raise UserError(
                    f"{self.folder}: test.txt and {name} share {len(both):,} images, the first is "
                    f"{ids[both[0]]}; a query must not be in the database or in train"
                )
        pool = train if self.validation_from == "train" else np.setdiff1d(database, train)
        order = permutation(len(ids), VALIDATION_SEED)
        order = order[np.isin(order, pool)]
        validation = np.sort(labelled(labels, order, self.validation, "validation", "split.validation"))
        train = np.setdiff1d(train, validation)
        if not len(train):
            raise UserError(f"split.validation: no image is left for train; expected less than {self.validation}")
        return Split(query, database, train, validation)


def _listed(file: Path, labels: Labels, finder: Finder) -> Indices:
    """The sorted rows of the images that a list names.

    Raises:
        UserError: see ``Lists``; the message names the file and the line.
    """
    why = "as many as the dataset has classes"
    found = lists.read(_text(file), str(file), labels.shape[1], why, lambda path, _: cleaned(path))
    rows: dict[int, int] = {}
    missing = []
    for path, line in found.lines.items():
        row = finder.row(path, f"{file}:{line}")
        if row is None:
            missing.append((path, line))
        elif row in rows:
            raise UserError(f"{file}:{line}: {path} is the image that line {rows[row]} names")
        else:
            rows[row] = line
    if missing:
        path, line = missing[0]
        raise UserError(
            f"{file}:{line}: {path} isn't in the dataset; {len(missing):,} of the list's {len(found.lines):,} images "
            f"aren't; {finder.example}"
        )
    _refuse_other_labels(file, found, list(rows), labels)
    return np.sort(np.array(list(rows), dtype=np.int64))


def _refuse_other_labels(file: Path, found: lists.Listed, rows: list[int], labels: Labels) -> None:
    """Raise ``UserError`` if the labels of a list differ from the dataset's; ``rows`` are in the list's order."""
    differ = np.flatnonzero((found.labels != labels[rows]).any(axis=1))
    if not len(differ):
        return
    path, line = list(found.lines.items())[differ[0]]
    ours, theirs = labels[rows[differ[0]]], found.labels[differ[0]]
    column = int(np.flatnonzero(ours != theirs)[0])
    raise UserError(
        f"{file}:{line}: {path} has {theirs[column]} for class number {column}, but {ours[column]} in the dataset; "
        f"labels differ for {len(differ):,} of {len(rows):,} images of the list"
    )


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"split.folder: {file} not found; expected {', '.join(FILES)} there") from None
    except OSError as error:
        raise UserError(f"split.folder: {file} can't be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error})") from None
