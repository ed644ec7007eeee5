"""The digits that come with scikit-learn."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from tests.datasets.making import refused, sound


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.create("digits", path=None)


def test_digits_are_grey_scans_with_one_label_each(digits: Dataset) -> None:
    scans = np.stack([np.asarray(digits.image(row)) for row in range(len(digits.ids))])
    assert scans.shape == (1797, 8, 8)
    assert scans.dtype == np.uint8
    assert (scans.min(), scans.max()) == (0, 255)
    assert (digits.labels.sum(axis=1) == 1).all()
    assert len(digits.ids) == digits.published == 1797
    assert digits.class_names == list("0123456789")


@pytest.mark.slow
def test_digits_become_arrays(digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sound(digits, "digits", tmp_path / "data")
    assert (data.images == data.images[..., :1]).all()
    assert "warning" not in capsys.readouterr().err


def test_digits_take_no_path() -> None:
    refused("digits", "dataset.path", "expected null", "'/somewhere'", path="/somewhere")
