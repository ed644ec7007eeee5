"""An index with names and labels that formats stumble over, what README.txt says to run, and what is to be found."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operations.search.export import export
from pipeline.operations.search.index import ITEMS, MODEL, publish
from pipeline.operations.search.items import Items, Packed, Row, content

COUNT, NEAREST = 300, 10
NAMES = [
    'a "quoted" name.png', "it's.png", "tab\there", "line\nbreak", "carriage\rreturn", "back\\slash", "\\N", "\\.",
    "NULL", "", " blank ", "é ü 漢字 \U0001f986.png", "{brace},comma", "a/b/c.jpg", "%s ${x} $1 :id ; --",
]  # fmt: skip
LABELS: list[list[str]] = [
    [], ["cat"], ["cat", "dog"], ['c"d', "e\\f", "g,h", "{i}", "j\tk\nl", "m'n"], ["NULL", "null", ""], ["漢字", "é"],
]  # fmt: skip

#: distance, id, labels, name.
Result = tuple[int, int, list[str], str]


@dataclass
class Made:
    """An index and what is in it."""

    folder: Path
    bits: int
    codes: Packed
    names: list[str]
    labels: list[list[str]]

    def export(self, target: str) -> Path:
        folder = self.folder.parent / target
        export(self.folder, target, folder)
        return folder

    def distances(self, query: int) -> list[int]:
        return [int(np.unpackbits(code ^ self.codes[query]).sum()) for code in self.codes]

    def has_as_nearest(self, results: list[Result], query: int, besides: tuple[int, ...] = ()) -> None:
        """Results are the nearest of an item by distance, in order, with the right names and labels."""
        far = self.distances(query)
        expected = sorted(distance for id_, distance in enumerate(far) if id_ not in besides)
        assert [distance for distance, *_ in results] == expected[: len(results)]
        assert len({id_ for _, id_, *_ in results}) == len(results) >= NEAREST
        for distance, id_, labels, name in results:
            assert (distance, labels, name) == (far[id_], self.labels[id_], self.names[id_])


def made(folder: Path, bits: int, names: list[str] = NAMES, labels: list[list[str]] = LABELS) -> Made:
    """An index of clustered codes, some of which are equal."""
    random = np.random.default_rng(bits)
    centers = random.integers(0, 2, (12, bits), dtype=np.uint8)
    flipped = (random.random((COUNT, bits)) < 0.15).astype(np.uint8)
    codes = np.packbits(centers[np.arange(COUNT) % 12] ^ flipped, axis=1)
    codes[COUNT - 5 :] = codes[0]
    all_names = [names[n % len(names)] + f"{n}" * (n >= len(names)) for n in range(COUNT)]
    all_labels = [labels[n % len(labels)] for n in range(COUNT)]
    (folder / MODEL).mkdir(parents=True)
    (folder / MODEL / "about.json").write_text("{}")
    items = Items(folder / ITEMS, writable=True)
    items.add(
        Row(name, label, content(np.array([n])), code, None)
        for n, (name, label, code) in enumerate(zip(all_names, all_labels, codes, strict=True))
    )
    items.close()
    publish(folder, "flat", {"study": "s", "cell": f"csq-wr-{bits}-0", "code_length": bits, "classes": ["cat", "dog"]})
    return Made(folder, bits, codes, all_names, all_labels)


def python_of(folder: Path) -> str:
    """The Python of an export's README.txt."""
    (text,) = re.findall(r"(?:^    (?:import|from) .*\n)+(?:^    .*\n)+", _readme(folder), re.MULTILINE)
    return "\n".join(line[4:] for line in str(text).splitlines())


def commands_of(folder: Path, program: str) -> list[str]:
    """The command lines of an export's README.txt."""
    return re.findall(rf"^    ({program} .*)$", _readme(folder), re.MULTILINE)


def printed(code: str, **names: Any) -> list[Result]:
    """What the Python of a README prints: distance, id, labels and name of each result."""
    rows: list[Any] = []
    show: Callable[..., None] = lambda *values: rows.append(values)  # noqa: E731
    exec(compile(code, "README.txt", "exec"), {"print": show, **names})
    return [(int(distance), int(id_), list(labels), name) for distance, id_, labels, name in rows]


def _readme(folder: Path) -> str:
    return (folder / "README.txt").read_text(encoding="utf-8")
