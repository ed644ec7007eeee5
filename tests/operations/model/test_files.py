"""A trained cell as a folder: it is the network that was trained, whatever params.yaml says now."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.operations.model.encoder import Encoder
from pipeline.operations.model.files import write
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.operations.model.conftest import Trained


def loaded(study: Trained, params: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.chdir(study.folder)
    write(params, study.cell, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["about.json", "weights.safetensors"]
    return Encoder.load(folder, "cpu")


def stored(study: Trained) -> tuple[Any, Any]:
    """The database images of a cell, and their codes by the encode stage."""
    codes = study.layout.codes(study.cell)
    images = np.load(study.layout.data / "images.npy")[np.load(codes / "database_indices.npy")]
    return images, np.load(codes / "database_codes.npy")


def test_the_codes_are_those_of_the_encode_stage_whatever_params_say_now(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now: Any = deepcopy(trained.params)
    now["backbone"] |= {"name": "resnet18", "input_size": 64, "frozen": True}
    now["head"] |= {"hidden": [7]}
    now["dataset"]["image_size"] = 32
    images, codes = stored(trained)
    assert np.array_equal(loaded(trained, now, tmp_path, monkeypatch).codes_of(images), codes)
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["image_size"] == 8 and about["backbone"] == trained.params["backbone"]


def test_a_frozen_backbone_is_inside(trained_head: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, codes = stored(trained_head)
    encoder = loaded(trained_head, trained_head.params, tmp_path, monkeypatch)
    differ = np.unpackbits(encoder.codes_of(images) ^ codes, axis=1).astype(bool)
    assert np.abs(encoder.outputs_of(images)[differ]).max(initial=0) < 1e-3 and differ.mean() < 1e-3


def _other_data(study: Trained) -> None:
    file = study.layout.data / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "content_hash": "another"}))


def _other_backbone(study: Trained) -> None:
    file = study.layout.features("plain") / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights": "another"}))


def _without_record(study: Trained) -> None:
    (study.layout.train(study.cell) / "made_of.json").unlink()


def _damaged(study: Trained) -> None:
    file = study.layout.train(study.cell) / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_other_data, "was trained on another results/small/data/prepared"),
        (_other_backbone, "backbone.weights: not those that results/small/data/features-plain was made with"),
        (_without_record, "no record of what it was made from"),
        (_damaged, "its hash has changed"),
    ],
)
def test_what_does_not_belong_together_is_one_line(
    spoil: Any, words: str, trained_head: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Trained(trained_head.params, trained_head.cell, tmp_path)
    shutil.copytree(trained_head.folder, tmp_path, dirs_exist_ok=True)
    spoil(study)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError) as error:
        write(study.params, study.cell, tmp_path / "model")
    one_line(error, words)
