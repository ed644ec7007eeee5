"""Pixels, augmentation, the network, backbones and their weights, and codes on disk."""

import copy
import re
import threading
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from pipeline import backbones
from pipeline.codes import sign, unpack, unpack_labels
from pipeline.encoding import device as devices
from pipeline.encoding import encode
from pipeline.encoding import images as image_module
from pipeline.encoding import network as network_module
from pipeline.encoding.augmentation import Augmentation
from pipeline.encoding.images import Mapped, Resident, normalized
from pipeline.encoding.network import HashNetwork, build, load
from pipeline.encoding.transfer import to_device
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json
from tests.messages import one_line

CPU = torch.device("cpu")
FLOAT32, BFLOAT16 = (devices.Compute(CPU, precision) for precision in ("float32", "bfloat16"))
CNN = {"name": "cnn", "weights": "none", "input_size": 8}


def random_images(n: int = 20, size: int = 8, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def pixels(n: int = 20, size: int = 8) -> Tensor:
    return to_device(random_images(n, size), CPU)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def network() -> HashNetwork:
    torch.manual_seed(0)
    return build(CNN, 12, FLOAT32)


# Pixels.


def test_to_device_puts_channels_first() -> None:
    images = random_images(3)
    found = to_device(images, CPU)
    assert found.shape == (3, 3, 8, 8)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), images.transpose(0, 3, 1, 2))


def on_disk(folder: Path, n: int = 40) -> npt.NDArray[np.uint8]:
    np.save(folder / "images.npy", random_images(n))
    mapped: npt.NDArray[np.uint8] = np.load(folder / "images.npy", mmap_mode="r")
    return mapped


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_images_on_disk_give_the_batches_of_images_in_memory(tmp_path: Path, count: int) -> None:
    images, rows = on_disk(tmp_path), np.array([3, 30, 7, 39, 0, 12, 5, 8])
    batches = [torch.randperm(8, generator=seeded(i))[:3] for i in range(count)]
    resident, mapped = Resident(to_device(images[rows], CPU)), Mapped(images, rows, CPU)
    assert len(resident) == len(mapped) == 8
    found = list(mapped.batches(batches))
    assert len(found) == count
    assert all(map(torch.equal, found, resident.batches(batches)))
    assert all(
        torch.equal(batch, to_device(images[rows[i.numpy()]], CPU)) for batch, i in zip(found, batches, strict=True)
    )


@pytest.mark.parametrize("size", [1, 3, 4, 8, 100])
def test_images_come_in_order_from_disk_and_from_memory(tmp_path: Path, size: int) -> None:
    images, rows = on_disk(tmp_path), np.array([3, 30, 7, 39, 0, 12, 5, 8])
    mapped = Mapped(images, rows, CPU)
    expected = [to_device(images[rows[start : start + size]], CPU) for start in range(0, 8, size)]
    for source in (mapped, Resident.copy_of(mapped)):
        assert all(map(torch.equal, source.in_order(size), expected))
        assert len(list(source.in_order(size))) == len(expected)


@pytest.mark.parametrize("at_once", [3, 8, 1024])
def test_images_held_in_memory_are_read_in_parts(tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = on_disk(tmp_path), np.array([3, 30, 7, 39, 0, 12, 5, 8])
    monkeypatch.setattr(image_module, "_AT_ONCE", at_once)
    assert torch.equal(Resident.copy_of(Mapped(images, rows, CPU)).images, to_device(images[rows], CPU))


def test_reading_stops_with_whoever_asks_for_batches(tmp_path: Path) -> None:
    before = threading.active_count()
    batches = Mapped(on_disk(tmp_path), np.arange(40), CPU).in_order(2)
    next(batches)
    assert threading.active_count() > before
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_image_that_cannot_be_read_is_no_end_of_waiting(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        list(Mapped(on_disk(tmp_path), np.array([1, 2, 40]), CPU).in_order(2))


def test_images_are_held_in_memory_where_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = on_disk(tmp_path), np.arange(40)
    assert image_module._free(CPU) > 1 << 20
    assert isinstance(image_module.inputs(images, rows, CPU), Resident)
    monkeypatch.setattr(image_module, "_free", lambda device: 40 * 8 * 8 * 3)
    assert isinstance(image_module.inputs(images, rows, CPU), Mapped)


def cropped(image: Tensor, padding: int, top: int, left: int) -> Tensor:
    """One image with a black border, and a slice of it."""
    _, height, width = image.shape
    padded = torch.zeros(3, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    return padded[:, top : top + height, left : left + width]


def test_crop_takes_one_slice_of_each_padded_image() -> None:
    images, padding = pixels(40), 2
    (found,) = Augmentation(crop_padding=padding, flip=False)(images, seeded(), 1)
    corners = torch.randint(0, 2 * padding + 1, (2, 40), generator=seeded())
    assert found.dtype == torch.uint8
    for i, (top, left) in enumerate(corners.T.tolist()):
        assert torch.equal(found[i], cropped(images[i], padding, top, left))


def test_crop_reaches_every_corner_and_no_further() -> None:
    """Found without knowing how the corners are drawn: each result is one of the 25 slices."""
    images, padding = pixels(200), 2
    (found,) = Augmentation(crop_padding=padding, flip=False)(images, seeded(), 1)
    seen = set()
    for before, after in zip(images, found, strict=True):
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(after, cropped(before, padding, top, left))
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = pixels(200)
    (found,) = Augmentation(crop_padding=0, flip=True)(images, seeded(), 1)
    mirrored = 0
    for before, after in zip(images.numpy(), found.numpy(), strict=True):
        is_mirrored = np.array_equal(after, before[..., ::-1])
        assert is_mirrored or np.array_equal(after, before)
        mirrored += is_mirrored
    assert 70 < mirrored < 130


def test_augmentation_is_the_generators_alone() -> None:
    images, augment = pixels(), Augmentation(crop_padding=1, flip=True)
    before, state = images.clone(), torch.get_rng_state()
    (first,) = augment(images, seeded(1), 1)
    assert torch.equal(first, augment(images, seeded(1), 1)[0])
    assert not torch.equal(first, augment(images, seeded(2), 1)[0])
    assert torch.equal(images, before)
    assert torch.equal(state, torch.get_rng_state())


def test_no_augmentation_changes_nothing() -> None:
    images = pixels()
    (found,) = Augmentation(crop_padding=0, flip=False)(images, seeded(), 1)
    assert torch.equal(found, images)


def test_each_view_is_augmented_by_itself() -> None:
    images, augment, drawn, alone = pixels(40), Augmentation(crop_padding=2, flip=True), seeded(), seeded()
    first, second = augment(images, drawn, 2)
    assert torch.equal(first, augment(images, alone, 1)[0]) and torch.equal(second, augment(images, alone, 1)[0])
    assert not torch.equal(first, second)


# Statistics that differ in every channel.
SHIFT, SCALE = (torch.tensor(values).view(3, 1, 1) for values in ([25.5, 102.0, 153.0], [51.0, 76.5, 178.5]))


@pytest.mark.parametrize("size", [5, 8, 13])
def test_normalized_resizes_shifts_and_scales(size: int) -> None:
    images = pixels()
    before = images.clone()
    found = normalized(images, SHIFT, SCALE, size, torch.contiguous_format)
    resized = images.float()
    if size != 8:
        resized = functional.interpolate(resized, size=(size, size), mode="bilinear", antialias=size < 8)
    assert found.dtype == torch.float32
    assert torch.equal(found, (resized - SHIFT) / SCALE)
    assert torch.equal(images, before)


def test_normalized_keeps_a_plain_image_plain() -> None:
    images = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)
    found = normalized(images, SHIFT, SCALE, 21, torch.contiguous_format)
    for channel, value in enumerate([0.5, -51 / 76.5, -102 / 178.5]):
        torch.testing.assert_close(found[0, channel], torch.full((21, 21), value))


def test_normalized_takes_the_memory_format() -> None:
    found = normalized(pixels(), SHIFT, SCALE, 8, torch.channels_last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, normalized(pixels(), SHIFT, SCALE, 8, torch.contiguous_format))


# The network.


def test_network_gives_float32_outputs(network: HashNetwork) -> None:
    outputs = network(pixels(5))
    assert outputs.shape == (5, 12)
    assert outputs.dtype == torch.float32
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["cnn", "alexnet"])
def test_backbone_is_given_the_pixels_that_it_wants(name: str) -> None:
    network, images, given = build({"name": name, "weights": "none", "input_size": 64}, 4, FLOAT32), pixels(2, 64), []
    # Cloned, since the network's first layers may work in place.
    network.backbone.register_forward_pre_hook(lambda backbone, inputs: given.append(inputs[0].clone()))
    network(images)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (network.backbone.mean, network.backbone.std))
    torch.testing.assert_close(given[0], (images / 255 - mean) / std, rtol=1e-5, atol=1e-5)


def test_what_is_stored_of_a_network_is_its_weights(network: HashNetwork) -> None:
    assert all(name.startswith(("backbone.", "head.")) for name in network.state_dict())


@pytest.mark.parametrize(("name", "size"), [("cnn", 7), ("resnet18", 31)])
def test_network_refuses_an_input_that_is_too_small(name: str, size: int) -> None:
    with pytest.raises(UserError) as error:
        build({"name": name, "weights": "none", "input_size": size}, 12, FLOAT32)
    one_line(error, "backbone.input_size", f"at least {size + 1}", name, f"found {size}")


def test_network_comes_back_from_its_weights(network: HashNetwork, tmp_path: Path) -> None:
    network(pixels())  # moves the batch normalization's statistics
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = load({**CNN, "weights": "imagenet"}, 12, FLOAT32, tmp_path / "weights.safetensors")
    assert not loaded.training
    assert torch.equal(loaded(pixels()), network.eval()(pixels()))


# A pass over many images, and codes on disk.


def test_a_pass_takes_fewer_images_where_they_are_large(network: HashNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.batch_size == network_module.BATCH["cpu"]
    monkeypatch.setattr(network_module, "PIXELS", 5 * 8 * 8)
    assert network.batch_size == 5
    monkeypatch.setattr(network_module, "PIXELS", 1)
    assert network.batch_size == 1


def test_outputs_are_the_same_of_images_in_memory(network: HashNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(network_module.BATCH, "cpu", 6)
    images, rows = random_images(40), np.arange(39, 0, -3)
    held = Resident.copy_of(Mapped(images, rows, CPU))
    assert torch.equal(encode.outputs_of(network, held), encode.outputs(network, images, rows, CPU))


def test_outputs_do_not_depend_on_the_batch_size(network: HashNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    images, indices = random_images(23), np.array([22, 3, 3, 0, 7, 11, 1], dtype=np.int64)
    whole = encode.outputs(network, images, indices, CPU)
    assert whole.shape == (7, 12)
    assert whole.dtype == torch.float32
    assert not whole.requires_grad
    for size in (1, 3, 7):
        monkeypatch.setitem(network_module.BATCH, "cpu", size)
        torch.testing.assert_close(encode.outputs(network, images, indices, CPU), whole, rtol=0, atol=1e-6)
    assert torch.equal(whole[1], whole[2])


@pytest.mark.parametrize("training", [True, False])
def test_outputs_are_those_of_evaluation_mode(network: HashNetwork, training: bool) -> None:
    network(pixels())
    network.train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = encode.outputs(network, random_images(), np.arange(20), CPU)
    assert network.training is network.backbone.training is training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    with torch.no_grad():
        torch.testing.assert_close(found, network.eval()(pixels()))


def test_written_codes_are_the_signs_of_the_outputs(network: HashNetwork, tmp_path: Path) -> None:
    labels = (np.random.default_rng(1).random((20, 11)) < 0.3).astype(np.uint8)
    data = Prepared(random_images(), labels, {"content_hash": "abc"})
    query, database = np.array([4, 1, 9]), np.array([0, 2, 3, 5, 19])
    split = Split(query=query, database=database, train=database[:1], validation=database[1:2])
    encode.write_codes(network, data, split, CPU, tmp_path)
    for part, indices in (("query", query), ("database", database)):
        packed = np.load(tmp_path / f"{part}_codes.npy")
        assert packed.dtype == np.uint8
        assert packed.shape == (len(indices), 2)  # 12 bits
        expected = sign(encode.outputs(network, data.images, indices, CPU).numpy())
        assert np.array_equal(unpack(packed, 12), expected)
        assert np.array_equal(unpack_labels(np.load(tmp_path / f"{part}_labels.npy"), 11), labels[indices])
        assert np.array_equal(np.load(tmp_path / f"{part}_indices.npy"), indices)
    about = read_json(tmp_path / "codes.json")
    assert (about["code_length"], about["num_classes"], about["content_hash"]) == (12, 11, "abc")


# Backbones.


@pytest.mark.parametrize("name", sorted({*backbones.names()} - {"identity", "timm"}))
def test_backbone_gives_its_features_at_its_smallest_input(name: str) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="requirements-offline.txt isn't installed")
    backbone = backbones.create(name).eval()
    size = backbone.smallest_input
    with torch.no_grad():
        features = backbone(torch.zeros(2, 3, size, size))
    assert features.shape == (2, backbone.num_features)
    assert features.isfinite().all()


def weights_of(name: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A backbone, and what its weights' file is a state_dict of: itself, or torchvision's classifier."""
    if name == "cnn":
        backbone = backbones.create(name)
        return backbone, backbone
    from torchvision import models

    return backbones.create(name), models.resnet18(weights=None, num_classes=1000)


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_backbone_takes_weights_from_a_path(name: str, ending: str, tmp_path: Path) -> None:
    backbone, source = weights_of(name)
    file = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(source.state_dict(), file)
    else:
        torch.save(source.state_dict(), file)
    loaded = backbones.create(name, weights=str(file)).state_dict()
    assert loaded.keys() == backbone.state_dict().keys()
    for key, value in loaded.items():
        assert torch.equal(value, source.state_dict()[key.removeprefix("network.")]), key


def test_backbone_refuses_a_path_that_is_not_there(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.pt"), str(tmp_path), "imagnet"):
        with pytest.raises(UserError) as error:
            backbones.create("cnn", weights=path)
        one_line(error, "backbone.weights", repr(path), "'none', 'imagenet'")


def saved(state: Any, tmp_path: Path) -> Path:
    torch.save(state, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("content", ["missing", "shape", "tensor", "text"])
def test_backbone_refuses_weights_that_do_not_fit(content: str, tmp_path: Path) -> None:
    state = dict(backbones.create("cnn").state_dict())
    if content == "missing":
        state.pop("layers.0.weight")
        file = saved(state, tmp_path)
    elif content == "shape":
        file = saved({**state, "layers.0.weight": torch.zeros(2)}, tmp_path)
    elif content == "tensor":
        file = saved(torch.zeros(3), tmp_path)
    else:
        file = tmp_path / "weights.safetensors"
        file.write_text("hello")
    with pytest.raises(UserError) as error:
        backbones.create("cnn", weights=str(file))
    one_line(error, "backbone.weights", str(file), "doesn't fit Cnn")


def test_backbone_names_the_tensor_that_does_not_fit(tmp_path: Path) -> None:
    state = dict(backbones.create("cnn").state_dict())
    del state["layers.0.weight"]
    with pytest.raises(UserError) as error:
        backbones.create("cnn", weights=str(saved(state, tmp_path)))
    one_line(error, "layers.0.weight")


def test_backbone_refuses_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.touch()
    with pytest.raises(UserError) as error:
        backbones.create("cnn", weights=str(file))
    one_line(error, "backbone.weights", str(file))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [8, 9, 32])
def test_cnn_pools_as_torch_does(size: int, training: bool, layout: torch.memory_format) -> None:
    """Bit for bit, in the layout that comes in: the convolutions after it would round otherwise."""
    cnn = backbones.create("cnn").train(training)
    (pool,) = (layer for layer in cnn.modules() if isinstance(layer, torch.nn.MaxPool2d))
    images = torch.randn(5, 64, size, size, generator=seeded()).contiguous(memory_format=layout)
    found = pool(images)
    assert torch.equal(found, functional.max_pool2d(images, 2))
    assert found.is_contiguous(memory_format=layout)


def test_cnn_has_no_imagenet_weights() -> None:
    with pytest.raises(UserError) as error:
        backbones.create("cnn", weights="imagenet")
    one_line(error, "backbone.weights", "cnn", "'none'")


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet50", "vgg11"])
@pytest.mark.parametrize(
    "failure",
    [URLError("no network"), RuntimeError('invalid hash value (expected "a", got "b")')],
    ids=["offline", "checksum"],
)
def test_imagenet_weights_that_cannot_be_had_are_one_line(
    name: str, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models

    def unreachable(*, weights: Any) -> None:
        assert weights is not None
        raise failure

    monkeypatch.setattr(models, name, unreachable)
    with pytest.raises(UserError) as error:
        backbones.create(name, weights="imagenet")
    one_line(error, "backbone.weights", "couldn't be downloaded", str(failure), "checkpoints", "'none'")
    assert re.search(rf"fetch {name}-\S*[0-9a-f]{{8}}\.pth ", str(error.value))


# Devices and precision.


def section(**given: Any) -> dict[str, Any]:
    return {"device": "cpu", "precision": "auto", "numerics": "portable", "threads": torch.get_num_threads(), **given}


def test_devices_choose_what_is_there() -> None:
    assert devices.choose(section()).device == CPU
    auto = devices.choose(section(device="auto"))
    assert (auto.device.type == "cuda") == torch.cuda.is_available()


@pytest.mark.parametrize(
    ("device", "asked", "found"),
    [
        ("cpu", "auto", "float32"),
        ("mps", "auto", "float32"),
        ("cuda", "auto", "bfloat16"),
        *((device, asked, asked) for device in ("cpu", "mps", "cuda") for asked in ("float32", "bfloat16")),
    ],
)
def test_precision_is_what_is_asked_for(device: str, asked: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    chosen = devices.choose(section(device=device, precision=asked))
    assert (chosen.device.type, chosen.precision) == (device, found)
    assert chosen.memory_format == (torch.channels_last if found == "bfloat16" else torch.contiguous_format)


def test_float32_is_no_tensorfloat32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    devices.choose(section(precision="float32"))
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


def test_devices_refuse_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError) as error:
        devices.choose(section(device="cuda"))
    one_line(error, "compute.device", "'cuda' is not available", "cpu", "'auto'")


@pytest.mark.parametrize("compute", [FLOAT32, BFLOAT16], ids=lambda compute: compute.precision)
@pytest.mark.parametrize("able", [True, False], ids=["able", "unable"])
def test_a_line_says_that_bfloat16_is_emulated(
    compute: devices.Compute, able: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, however many networks are made; and they are made."""
    monkeypatch.setattr(devices, "computes_bfloat16", lambda: able)
    devices.warn_if_emulated.cache_clear()
    for _ in range(3):
        build(CNN, 12, compute)(pixels(2))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (compute is BFLOAT16 and not able)
    assert all(line.startswith("warning: compute.precision: ") and "emulated" in line for line in lines)
    devices.warn_if_emulated.cache_clear()


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
@pytest.mark.parametrize("able", [True, False])
def test_what_tells_that_a_cpu_computes_bfloat16(machine: str, able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(devices.computes_bfloat16(), bool)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    for place, name in ((torch.cpu, "_is_avx512_bf16_supported"), (torch.ops.mkldnn, "_is_mkldnn_bf16_supported")):
        monkeypatch.setattr(place, name, lambda: able)
    assert devices.computes_bfloat16() is able


def seen_by_the_head(compute: devices.Compute, name: str = "cnn") -> tuple[Tensor, Tensor, Tensor]:
    """What the first and the last layer of a network are given, and its outputs."""
    torch.manual_seed(0)
    network = build({"name": name, "weights": "none", "input_size": 64}, 12, compute).eval()
    given: list[Tensor] = []
    for layer in (network.backbone, network.head):
        layer.register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0].clone()))
    outputs = network(pixels(3, 64))
    return given[0], given[1], outputs


@pytest.mark.parametrize("name", ["cnn", "alexnet"])
def test_bfloat16_is_what_layers_compute_in(name: str) -> None:
    images, features, outputs = seen_by_the_head(BFLOAT16, name)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert features.dtype == torch.bfloat16
    assert outputs.dtype == torch.float32
    expected = seen_by_the_head(FLOAT32, name)
    assert torch.equal(images, expected[0])
    assert expected[1].dtype == torch.float32
    assert not torch.equal(outputs, expected[2])
    torch.testing.assert_close(outputs, expected[2], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_float32_is_the_bare_network_to_the_last_bit(network: HashNetwork, training: bool) -> None:
    """Outputs and gradients: what was stored before there was a choice can be made again."""
    twin = copy.deepcopy(network)
    images = pixels(9)
    network.train(training)(images).square().sum().backward()
    twin.train(training).head(twin.backbone((images.float() - twin.shift) / twin.scale)).square().sum().backward()
    for (name, one), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]
    for (name, one), other in zip(network.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("size", [8, 9, 32])
def test_cnn_means_over_positions_in_every_layout(size: int) -> None:
    (mean,) = (layer for layer in backbones.create("cnn").modules() if isinstance(layer, torch.nn.AdaptiveAvgPool2d))
    images = torch.randn(5, 16, size, size, generator=seeded())
    assert torch.equal(mean(images), functional.adaptive_avg_pool2d(images, 1))
    turned = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.testing.assert_close(mean(turned), mean(images))
    mean(turned).square().sum().backward()
    expected = (2 * images.mean((2, 3), keepdim=True) / size**2).expand_as(images)
    torch.testing.assert_close(turned.grad, expected)


# A GPU.

CUDA = torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("slow", [False, True], ids=["", "GPU behind"])
def test_batches_are_the_same_on_a_gpu(slow: bool, tmp_path: Path) -> None:
    """More batches than there is room for at once; behind, the GPU has used none when the last has been asked for."""
    images, rows = on_disk(tmp_path, 400), np.random.default_rng(0).permutation(400)
    order = torch.randperm(400, generator=seeded())
    batches = [order[start : start + 7].to(CUDA) for start in range(0, 400, 7)]
    mapped, found = Mapped(images, rows, CUDA), []
    for batch in mapped.batches(batches):
        if slow:
            torch.cuda._sleep(20_000_000)  # some 10 ms
        found.append(batch.clone())
    resident = Resident.copy_of(mapped)
    assert torch.equal(resident.images.cpu(), to_device(images[rows], CPU))
    assert all(map(torch.equal, found, resident.batches(batches)))
    assert len(found) == len(batches)


@pytest.mark.gpu
def test_a_gpu_computes_in_bfloat16_and_channels_last() -> None:
    torch.manual_seed(0)
    network = build({**CNN, "input_size": 32}, 12, devices.choose(section(device="cuda")))
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)
    made: list[Tensor] = []
    convolutions[-1].register_forward_hook(lambda layer, inputs, output: made.append(output))
    network(pixels(5, 16).to(CUDA))
    assert made[0].dtype == torch.bfloat16
    assert made[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_outputs_on_a_gpu_are_near_those_of_the_cpu(
    precision: str, network: HashNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network_module.BATCH, "cuda", 7)
    images, rows = random_images(40), np.arange(39, 0, -2)
    expected = encode.outputs(network, images, rows, CPU)
    there = build(CNN, 12, devices.Compute(CUDA, precision))
    there.load_state_dict(network.state_dict())
    found = encode.outputs(there, images, rows, CUDA)
    assert found.device == CPU and found.dtype == torch.float32
    within = {"bfloat16": 0.05, "float32": 1e-4}[precision]
    torch.testing.assert_close(found, expected, rtol=within, atol=within)
    held = Resident.copy_of(Mapped(images, rows, CUDA))
    assert torch.equal(encode.outputs_of(there, held).cpu(), found)


@pytest.mark.gpu
def test_float32_on_a_gpu_is_float32() -> None:
    """Further from a convolution in double precision than float32 comes, TensorFloat-32 would be."""
    compute = devices.choose(section(device="cuda", precision="float32"))
    images, weights = torch.randn(8, 64, 16, 16, generator=seeded()), torch.randn(64, 64, 3, 3, generator=seeded())
    with compute.autocast():
        found = functional.conv2d(images.to(CUDA), weights.to(CUDA))
    assert found.dtype == torch.float32
    expected = functional.conv2d(images.double(), weights.double())
    torch.testing.assert_close(found.cpu().double(), expected, rtol=0, atol=1e-3)


@pytest.mark.gpu
def test_a_gpu_fills_no_memory_before_it_is_written() -> None:
    devices.make_deterministic(0, CUDA)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
