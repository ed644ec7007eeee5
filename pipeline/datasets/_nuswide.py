"""Common code of the NUS-WIDE datasets: the official files, and lists of ``path y1 ... yC`` lines."""

import numpy as np
import numpy.typing as npt

from pipeline.datasets import _lists
from pipeline.datasets._files import Files, inside
from pipeline.datasets._folder import ImageFiles
from pipeline.runtime.errors import UserError

WANTED = "NUS-WIDE's folder with ImageList, Groundtruth, ConceptsList and Flickr (see docs/datasets.md)"
ADVICE = "NUS-WIDE's photographs can't be downloaded by a program; docs/datasets.md says how to get them"

CONCEPTS = 81
# Possible locations of the official files, depending on the folder that the archives are unpacked into.
IMAGE_LIST = ("ImageList/Imagelist.txt", "ImageList/ImageList.txt", "Imagelist.txt", "ImageList.txt")
CONCEPT_LIST = ("ConceptsList/Concepts81.txt", "Concepts81.txt")
LABELS = ("Groundtruth/AllLabels", "AllLabels", "Groundtruth")
PHOTOGRAPHS = ("Flickr/", "images/", "", "Flickr/Flickr/")


class NusWide(ImageFiles):
    """NUS-WIDE's photographs that have at least one of the C most frequent of its 81 concepts.

    Chua et al., "NUS-WIDE: A Real-World Web Image Database from National University of Singapore", CIVR 2009.

    Args:
        path: the dataset's folder, or a zip archive of it.
        labels: a file of ``path y1 ... yC`` lines below ``path``, used instead of the official lists. Class names
            come from ``classes.txt``, else from the official list if C is 81, else they are "0" to "C-1".
        concepts: C, the number of most frequent concepts to use. Frequencies are over all 269,648 photographs. In a
            tie, the concept that comes first in the official list wins. Columns keep the list's order.

    Raises:
        UserError: a list is missing or invalid (the message names the file and the line), or photographs are missing.
    """

    def __init__(self, path: str | None, labels: str | None, concepts: int) -> None:
        files = Files(path, WANTED)
        if labels is None:
            names, multi_hot, classes = _official(files, concepts)
        else:
            names, multi_hot, classes = _listed(files, _lists.placed(labels), concepts)
        labelled = np.flatnonzero(multi_hot.any(axis=1))
        if not len(labelled):
            raise UserError(f"{files.root}: no photograph has any of the {len(classes)} concepts")
        names = [names[row] for row in labelled]
        folder = _folder(files, names)
        names = [f"{folder}{name}" for name in names]
        files.require(names, "photographs", ADVICE)
        super().__init__(files, names, multi_hot[labelled], classes)


def _official(files: Files, concepts: int) -> tuple[list[str], npt.NDArray[np.uint8], list[str]]:
    classes = _concepts(files, _first(files, CONCEPT_LIST))
    image_list = _first(files, IMAGE_LIST)
    names = [inside(line, f"{files.root / image_list}:{number}") for number, line in _lists.lines(files, image_list)]
    folder = next((name for name in LABELS if files.has(f"{name}/Labels_{classes[0]}.txt")), LABELS[0])
    columns = [f"{folder}/Labels_{concept}.txt" for concept in classes]
    files.require(columns, "files of labels", "docs/datasets.md shows where they belong")
    multi_hot = np.empty((len(names), CONCEPTS), np.uint8)
    for number, column in enumerate(columns):
        multi_hot[:, number] = _column(files, column, len(names), image_list)
    counts = multi_hot.sum(axis=0, dtype=np.int64)
    kept = np.sort(np.argsort(-counts, kind="stable")[:concepts])
    return names, multi_hot[:, kept], [classes[number] for number in kept]


def _listed(files: Files, name: str, concepts: int) -> tuple[list[str], npt.NDArray[np.uint8], list[str]]:
    names, multi_hot = _lists.multi_hot(files, name, concepts, "one a concept")
    official = next((place for place in CONCEPT_LIST if files.has(place)), None)
    classes = _lists.class_names(files, name)
    if classes is None and concepts == CONCEPTS and official is not None:
        classes = _concepts(files, official)
    if classes is not None and len(classes) != concepts:
        raise UserError(f"{files.root}: {_lists.CLASSES} names {len(classes)} classes; expected {concepts}")
    return names, multi_hot, classes or [str(number) for number in range(concepts)]


def _concepts(files: Files, name: str) -> list[str]:
    classes = _lists.distinct(files, name)
    if len(classes) != CONCEPTS:
        raise UserError(f"{files.root / name}: expected {CONCEPTS} concepts, one a line, found {len(classes)}")
    return classes


def _column(files: Files, name: str, count: int, image_list: str) -> npt.NDArray[np.uint8]:
    """One concept's labels (count,) uint8, from a file with one label per line."""
    values = files.text(name).split()
    if not set(values) <= {"0", "1"}:
        number, line = next((n, line) for n, line in _lists.lines(files, name) if line not in ("0", "1"))
        raise UserError(f"{files.root / name}:{number}: expected 0 or 1, found {line!r}")
    if len(values) != count:
        raise UserError(f"{files.root / name}: {len(values):,} labels, but {image_list} names {count:,} photographs")
    return np.frombuffer("".join(values).encode(), dtype=np.uint8) - ord("0")


def _first(files: Files, places: tuple[str, ...]) -> str:
    """The first of these files that exists."""
    for place in places:
        if files.has(place):
            return place
    raise UserError(f"dataset.path: {files.root / places[0]} not found; expected {WANTED}")


def _folder(files: Files, names: list[str]) -> str:
    """The folder of the photographs: the one of ``PHOTOGRAPHS`` that holds most of a sample."""
    sample = names[:: max(1, len(names) // 1000)]
    return max(PHOTOGRAPHS, key=lambda folder: sum(files.has(f"{folder}{name}") for name in sample))
