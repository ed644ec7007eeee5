"""Your own vectors: .npy, .npz and Parquet files, their labels and ids, and what is refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import yaml

from pipeline import backbones, datasets
from pipeline.datasets._vectors import VectorDataset
from pipeline.features.views import inputs
from pipeline.params import check
from pipeline.preparation import arrays
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Layout
from tests.conftest import ROOT, at
from tests.messages import one_line

COUNT, WIDTH = 30, 5
NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def vectors() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)


def opened(path: Path, labels: Path | None = None) -> VectorDataset:
    found = datasets.create("embeddings", path=str(path), labels=None if labels is None else str(labels))
    assert isinstance(found, VectorDataset)
    return found


def refused(*parts: str, path: Path | str | None, labels: Path | None = None) -> None:
    with pytest.raises(UserError) as error:
        datasets.create("embeddings", path=None if path is None else str(path), labels=labels and str(labels))
    one_line(error, *parts)


def csv_of(folder: Path, ids: bool = True) -> Path:
    rows = {"id": [f"photo-{row}" for row in range(COUNT)], "label": [NAMES[row % 3] for row in range(COUNT)]}
    pd.DataFrame(rows if ids else {"label": rows["label"]}).to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


def as_npy(vectors: Any, folder: Path) -> tuple[Path, Path | None]:
    np.save(folder / "vectors.npy", vectors)
    return folder / "vectors.npy", csv_of(folder)


def as_npz(vectors: Any, folder: Path) -> tuple[Path, Path | None]:
    labels, ids = [NAMES[row % 3] for row in range(COUNT)], [f"photo-{row}" for row in range(COUNT)]
    np.savez(folder / "all.npz", vectors=vectors, labels=labels, ids=ids)
    return folder / "all.npz", None


def as_parquet(vectors: Any, folder: Path) -> tuple[Path, Path | None]:
    frame = pd.DataFrame({"id": [f"photo-{row}" for row in range(COUNT)], "clip": list(vectors)})
    frame["label"] = [NAMES[row % 3] for row in range(COUNT)]
    frame.to_parquet(folder / "all.parquet")
    return folder / "all.parquet", None


def as_folder(vectors: Any, folder: Path) -> tuple[Path, Path | None]:
    (folder / "parts").mkdir()
    for part in range(3):
        np.save(folder / "parts" / f"{part}.npy", vectors[10 * part : 10 * part + 10])
    return folder / "parts", csv_of(folder)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("form", [as_npy, as_npz, as_parquet, as_folder])
def test_every_form_gives_the_same_dataset(form: Any, kind: Any, vectors: Any, tmp_path: Path) -> None:
    dataset = opened(*form(vectors.astype(kind), tmp_path))
    (tmp_path / "data").mkdir()
    arrays.write(dataset, "embeddings", tmp_path / "data", image_size=None)
    data = arrays.load(tmp_path / "data")
    assert np.array_equal(data.images, vectors.astype(kind).astype(np.float32)) and data.images.dtype == np.float32
    assert np.array_equal(data.labels, np.eye(3, dtype=np.uint8)[np.arange(COUNT) % 3])
    assert list(data.manifest["classes"]) == NAMES
    assert data.ids == [f"photo-{row}" for row in range(COUNT)]
    assert (data.manifest["num_features"], data.manifest["image_size"], data.manifest["zero_vectors"]) == (5, None, 0)
    data.check()


def test_labels_as_text_as_numbers_and_as_indicators(vectors: Any, tmp_path: Path) -> None:
    path, _ = as_npy(vectors, tmp_path)
    (tmp_path / "labels.txt").write_text("".join(f"{NAMES[row % 3]}|dog\n" for row in range(COUNT)))
    dataset = opened(path, tmp_path / "labels.txt")
    assert dataset.labels[:3].tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert dataset.ids[:2] == ["0", "1"]
    np.save(tmp_path / "numbers.npy", np.arange(COUNT) % 12)
    assert opened(path, tmp_path / "numbers.npy").class_names == [str(number) for number in range(12)]
    indicators = np.random.default_rng(1).integers(0, 2, (COUNT, 4))
    np.save(tmp_path / "indicators.npy", indicators)
    assert np.array_equal(opened(path, tmp_path / "indicators.npy").labels, indicators)


def test_a_vector_may_have_no_label(vectors: Any, tmp_path: Path) -> None:
    path, _ = as_npy(vectors, tmp_path)
    (tmp_path / "labels.txt").write_text("\n" + "".join(f"{NAMES[row % 3]}\n" for row in range(1, COUNT)))
    assert opened(path, tmp_path / "labels.txt").labels[0].tolist() == [0, 0, 0]


def test_lists_of_labels_in_parquet(vectors: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"vector": list(vectors), "labels": [[NAMES[row % 3], "eel"] for row in range(COUNT)]})
    frame.to_parquet(tmp_path / "all.parquet")
    assert opened(tmp_path / "all.parquet").labels[:3].tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 1]]


def test_vectors_that_are_not_finite_are_named_or_left_out(vectors: Any, tmp_path: Path) -> None:
    vectors[4, 2], vectors[9, 0] = np.nan, np.inf
    dataset = opened(*as_npy(vectors, tmp_path))
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError) as error:
        arrays.write(dataset, "embeddings", tmp_path / "data", image_size=None)
    one_line(
        error, "2 of 30 vectors have values that are not finite, with the ids photo-4, photo-9", "on_bad_image: skip"
    )
    arrays.write(dataset, "embeddings", tmp_path / "data", image_size=None, on_bad_image="skip")
    data = arrays.load(tmp_path / "data")
    kept = np.setdiff1d(np.arange(COUNT), [4, 9])
    assert np.array_equal(data.images, vectors[kept]) and len(data.labels) == 28
    data.check()


def test_vectors_of_zeros_have_no_direction(vectors: Any, tmp_path: Path) -> None:
    vectors[3] = 0
    layout = Layout("x", tmp_path)
    layout.data.mkdir(parents=True)
    arrays.write(opened(*as_npy(vectors, tmp_path)), "embeddings", layout.data, image_size=None)
    params = study()
    assert inputs(params, layout).images.shape == (COUNT, 1, WIDTH)
    params["head"]["normalize"] = "l2"
    with pytest.raises(UserError) as error:
        inputs(params, layout)
    one_line(error, "head.normalize: l2", "1 of dataset.path are 0 in every component")


def test_what_is_refused_is_one_line(vectors: Any, tmp_path: Path) -> None:
    path, labels = as_npy(vectors, tmp_path)
    refused("dataset.path: expected a file of vectors", "null", path=None)
    refused("nowhere.npy not found", path=tmp_path / "nowhere.npy")
    refused("expected a file of vectors", path=labels)
    refused("dataset.labels: expected a file of labels, or a column 'label'", path=path)
    refused("gone.csv not found", path=path, labels=tmp_path / "gone.csv")
    (tmp_path / "few.txt").write_text("a\nb\n")
    refused("dataset.labels", "2 labels for 30 vectors", path=path, labels=tmp_path / "few.txt")
    (tmp_path / "one.txt").write_text("a\n" * COUNT)
    refused("expected at least two classes, found a", path=path, labels=tmp_path / "one.txt")
    (tmp_path / "other.csv").write_text("name\n" + "a\n" * COUNT)
    refused("expected a header with a column 'label', found name", path=path, labels=tmp_path / "other.csv")
    pd.DataFrame({"id": ["x"] * COUNT, "label": NAMES * 10}).to_csv(tmp_path / "same.csv", index=False)
    refused("1 distinct ids for 30 vectors", path=path, labels=tmp_path / "same.csv")
    (tmp_path / "quote.csv").write_text('label\n"a\n')
    refused("quote.csv: not a CSV file (unexpected end of data)", path=path, labels=tmp_path / "quote.csv")
    np.save(tmp_path / "single.npy", np.array(1))
    refused("single.npy: can't be read (expected one label a vector", path=path, labels=tmp_path / "single.npy")
    np.save(tmp_path / "twos.npy", np.full((COUNT, 3), 2))
    refused("expected (n, C) of 0 and 1", path=path, labels=tmp_path / "twos.npy")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(COUNT, np.float32), "(30,) of float32"),
        (np.zeros((COUNT, 5), np.int64), "(30, 5) of int64"),
        (np.zeros((0, 5), np.float32), "(0, 5) of float32"),
        (np.array([[1.0], None], dtype=object), "it holds Python objects"),
    ],
)
def test_an_array_of_another_kind_is_refused(array: Any, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", array, allow_pickle=True)
    refused("dataset.path", "vectors.npy", said, path=tmp_path / "vectors.npy", labels=csv_of(tmp_path))


def test_files_of_another_length_or_kind_are_refused(vectors: Any, tmp_path: Path) -> None:
    path, labels = as_folder(vectors, tmp_path)
    np.save(path / "3.npy", np.zeros((2, WIDTH + 1), np.float32))
    refused("3.npy: vectors of 6 numbers, but", "0.npy has 5", path=path, labels=labels)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    refused("broken.npz: can't be read as npz", path=tmp_path / "broken.npz", labels=labels)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    refused("broken.parquet: can't be read as parquet", path=tmp_path / "broken.parquet", labels=labels)
    pd.DataFrame({"vector": [[1.0, 2.0], [1.0]], "label": ["a", "b"]}).to_parquet(tmp_path / "mixed.parquet")
    refused("expected lists of one length in vector, found lengths 1, 2", path=tmp_path / "mixed.parquet")
    pd.DataFrame({"label": ["a", "b"]}).to_parquet(tmp_path / "none.parquet")
    refused("expected one column of lists of floats, found label", path=tmp_path / "none.parquet")


def study() -> Any:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["dataset"] = {"name": "embeddings", "path": "data/v.npy", "labels": None, "on_bad_image": "error"}
    params["backbone"] = {"name": "identity", "weights": "none", "input_size": 8, "frozen": True}
    params["visualize"]["seeds"], params["watch"]["dataset"] = [], ["always"]
    return params


def test_a_study_of_vectors_is_valid() -> None:
    assert check(study()) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("dataset.image_size", 8, "dataset.image_size"),
        ("backbone.frozen", False, "expected name: identity and frozen: true"),
        ("backbone.name", "cnn", "expected name: identity and frozen: true"),
        ("features.views", ["plain"], "features.views: expected [], since the dataset's vectors are the features"),
        ("visualize.seeds", [0], "visualize.seeds: expected [], since dataset.name embeddings has no images"),
        ("informativeness.parts", ["query"], "informativeness.parts: expected []"),
    ],
)
def test_what_contradicts_vectors_is_one_line(path: str, value: Any, said: str) -> None:
    content = study()
    place, last = at(content, path)
    place[last] = value
    (problem,) = check(content)
    assert said in problem and "\n" not in problem


def test_identity_is_for_vectors_alone() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["backbone"]["name"] = "identity"
    (problem,) = check(content)
    assert "identity is for dataset.name: embeddings" in problem
    with pytest.raises(UserError, match="identity is for"):
        backbones.create("identity")
