"""The hashing network: a backbone and one linear layer, the hash head."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline import backbones
from pipeline.encoding.device import autocast, memory_format
from pipeline.encoding.images import normalization, normalized
from pipeline.runtime.errors import UserError


class HashNetwork(nn.Module):
    """uint8 images (b, 3, S, S) to raw head outputs u (b, K), float32.

    Args:
        backbone: features of an image.
        code_length: K.
        input_size: pixels that images are resized to on the device.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: backbones.Backbone, code_length: int, input_size: int) -> None:
        super().__init__()
        if input_size < backbone.smallest_input:
            raise UserError(
                f"backbone.input_size: expected at least {backbone.smallest_input} for "
                f"{type(backbone).__module__.rpartition('.')[2]}, found {input_size}"
            )
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, code_length)
        # Unit variance for unit features, whatever their number: outputs near 0 are a saddle of inner-product
        # losses, from which all bits learn the same direction (at std 0.01, right for 4,096 features, dhn has
        # mAP 0.56 on digits).
        nn.init.normal_(self.head.weight, std=backbone.num_features**-0.5)
        nn.init.zeros_(self.head.bias)
        self.input_size = input_size
        # On the device with the weights, so that a step copies nothing to it; no part of what is stored.
        shift, scale = normalization(backbone)
        self.register_buffer("shift", shift, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = normalized(images, self.shift, self.scale, self.input_size, memory_format(images.device))
        with autocast(images.device):
            outputs: Tensor = self.head(self.backbone(pixels))
        return outputs.float()


def build(section: dict[str, Any], code_length: int, device: torch.device) -> HashNetwork:
    """The network of params.yaml's ``backbone`` section, on the device in its memory format."""
    backbone = backbones.create(section["name"], weights=section["weights"])
    network = HashNetwork(backbone, code_length, section["input_size"])
    return network.to(device).to(memory_format=memory_format(device))


def load(section: dict[str, Any], code_length: int, device: torch.device, weights: Path) -> HashNetwork:
    """A trained network: built without pretrained weights, then filled from a cell's safetensors file."""
    network = build({**section, "weights": "none"}, code_length, device)
    network.load_state_dict(load_file(weights))
    return network.eval()
