"""Common code of the backbones from torchvision: loading of weights, and ImageNet's normalization."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.backbones import Backbone, load_file
from pipeline.runtime.errors import UserError


class TorchvisionBackbone(Backbone):
    """A torchvision classifier without its last layer.

    Args:
        weights: ``none``, ``imagenet`` or the path of a ``state_dict`` of the whole torchvision classifier.
        make: torchvision's builder of the architecture.
        imagenet: torchvision's ImageNet weights of the architecture.
        cut: removes the last layer in place.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    smallest_input = 64

    def __init__(self, weights: str, make: Callable[..., nn.Module], imagenet: Any, cut: Callable[[Any], None]) -> None:
        super().__init__()
        self.network = _imagenet(make, imagenet) if weights == "imagenet" else make(weights=None)
        if weights not in ("none", "imagenet"):
            load_file(self.network, weights)
        cut(self.network)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images)
        return features


def _imagenet(make: Callable[..., nn.Module], weights: Any) -> nn.Module:
    """The network with ImageNet weights, from torch's cache or downloaded and checked against a checksum."""
    try:
        return make(weights=weights)
    except (OSError, RuntimeError) as error:
        file = weights.url.rsplit("/", 1)[-1]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(
            f"backbone.weights: the ImageNet weights couldn't be downloaded ({error}); fetch {file} on a "
            f"machine with a network and put it into {folder}, or set backbone.weights to 'none' or its path"
        ) from None


def drop_last_of_classifier(network: Any) -> None:
    """Remove the last of several classifier layers (AlexNet, VGG): the features are the output of fc7."""
    network.classifier = network.classifier[:-1]


def drop_fc(network: Any) -> None:
    """Remove a ResNet's only fully connected layer: the features are the output of the global pooling."""
    network.fc = nn.Identity()
