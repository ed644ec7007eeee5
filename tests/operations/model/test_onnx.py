"""The ONNX file of a network gives the network's codes, by ONNX Runtime on the CPU."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.codes import pack, sign, unpack
from pipeline.operations.model import onnx_file
from pipeline.operations.model.encoder import ONNX, Encoder
from pipeline.operations.model.onnx_file import export, write_onnx
from pipeline.operations.model.onnx_network import OnnxNetwork
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.operations.model.conftest import Trained
from tests.operations.model.making import of_images, of_vectors

onnxruntime = pytest.importorskip("onnxruntime", reason="requirements-onnx.txt isn't installed")

#: An output this close to 0 may have the other sign, because ONNX Runtime rounds otherwise than torch.
UNSURE = 1e-4


def run(file: Path, **arrays: Any) -> tuple[Any, Any]:
    """Codes and outputs of ONNX Runtime."""
    codes, u = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["codes", "u"], arrays)
    return codes, u


def alike(codes: Any, expected_codes: Any, u: Any) -> None:
    """Bits are equal but for those whose output is close to 0; these are few."""
    unsure = np.abs(u) < UNSURE
    bits = u.shape[1]
    assert np.array_equal(unpack(codes, bits)[~unsure], unpack(expected_codes, bits)[~unsure])
    assert unsure.mean() < 0.005, f"{unsure.sum()} of {unsure.size} bits are unsure"


NETWORKS: dict[str, Callable[[Path], Any]] = {
    "cnn": lambda folder: of_images(folder),
    "enlarged": lambda folder: of_images(folder, size=20, input_size=32, bits=12),
    "reduced": lambda folder: of_images(folder, size=40, input_size=16),
    "bfloat16": lambda folder: of_images(folder, precision="bfloat16"),
    "efficientnet_lite0": lambda folder: of_images(
        folder, size=96, name="efficientnet_lite0", input_size=64, frozen=True
    ),
    "standardize": lambda folder: of_vectors(folder, hidden=[32], normalize="standardize"),
    "l2": lambda folder: of_vectors(folder, normalize="l2", bits=20),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_gives_the_networks_codes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="requirements-offline.txt isn't installed")
    bits = NETWORKS[name](tmp_path / "model").code_length
    about = tmp_path / "model" / "about.json"
    said = export("csq-wr-0", tmp_path / "model", tmp_path / "network.onnx")
    about.write_text(about.read_text().replace("bfloat16", "float32"))  # the file's layers compute in float32
    encoder = Encoder.load(tmp_path / "model", "cpu")
    random = np.random.default_rng(0)
    if encoder.image_size is None:
        given, arrays = "vectors", random.normal(size=(30, 24)).astype(np.float32)
    else:
        given, arrays = "images", random.integers(0, 256, (30, encoder.image_size, encoder.image_size, 3), np.uint8)
    assert f"input {given} (n, " in said and f"codes (n, {-(-bits // 8)}) uint8" in said
    expected = encoder.outputs_of(arrays)
    assert expected.std() > 0.1, "outputs that tell images apart"
    codes, u = run(tmp_path / "network.onnx", **{given: arrays})
    np.testing.assert_allclose(u, expected, atol=UNSURE / 2)
    assert np.array_equal(codes, pack(sign(u)))
    alike(codes, encoder.codes_of(arrays), expected)
    assert np.array_equal(run(tmp_path / "network.onnx", **{given: arrays[:1]})[0], codes[:1])
    monkeypatch.setattr(OnnxNetwork, "batch_size", 7)  # 30 inputs are several batches, the last of them smaller
    (tmp_path / "network.onnx").rename(tmp_path / "model" / ONNX)
    beside = Encoder.load(tmp_path / "model", "cpu")
    assert isinstance(beside.network, OnnxNetwork)
    np.testing.assert_allclose(beside.outputs_of(arrays), expected, atol=UNSURE / 2)
    alike(beside.codes_of(arrays), encoder.codes_of(arrays), expected)
    assert beside.codes_of(arrays[:0]).shape == (0, -(-bits // 8))


def test_a_cells_file_gives_the_codes_of_the_encode_stage(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    said = write_onnx(trained.params, "csq-original-16", tmp_path / "network.onnx")
    assert said == (
        f"{tmp_path / 'network.onnx'}: the network of csq-original-16-0; input images (n, 8, 8, 3) uint8, "
        "outputs codes (n, 2) uint8 and u (n, 16) float32"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    stored = trained.layout.codes(trained.cell)
    images = np.load(trained.layout.data / "images.npy")[np.load(stored / "database_indices.npy")]
    codes, u = run(tmp_path / "network.onnx", images=images)
    alike(codes, np.load(stored / "database_codes.npy"), u)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert session.get_modelmeta().custom_metadata_map == {"cell": "csq-original-16-0", "code_length": "16"}


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("csq-original-16-1", "network.onnx", "found 'csq-original-16-1' (did you mean 'csq-original-16'?)"),
        ("", "network.onnx", "expected CELL=<method>-<quantizer>-<bits>[-<seed>] of params.yaml's grid"),
        ("csq-original-16-0", "nowhere/network.onnx", "nowhere/network.onnx: expected FILE=<a file in an existing"),
        ("csq-original-16-0", ".", "expected FILE="),
    ],
)
def test_what_is_wrong_is_one_line(
    name: str, file: str, words: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    with pytest.raises(UserError) as error:
        write_onnx(trained.params, name, tmp_path / file)
    one_line(error, "onnx: ", words)


def test_missing_packages_are_one_line(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "onnx_not_installed"))
    line = "onnx: it needs the package onnx_not_installed; run `pip install -r requirements-onnx.txt`"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        write_onnx(trained.params, "csq-original-16", tmp_path / "network.onnx")


def test_a_damaged_file_in_a_models_folder_is_one_line(tmp_path: Path) -> None:
    of_images(tmp_path)
    (tmp_path / ONNX).write_bytes(b"not a network")
    with pytest.raises(UserError) as error:
        Encoder.load(tmp_path, "cpu")
    one_line(error, f"{tmp_path / ONNX}: can't be read (", "remove it, or write it again")


def test_a_file_is_replaced_by_a_whole_one_or_stays(tmp_path: Path) -> None:
    file = tmp_path / "network.onnx"
    file.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), onnx_file._replaced(file) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"before" and list(tmp_path.iterdir()) == [file]
