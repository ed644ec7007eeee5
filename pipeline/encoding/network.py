"""The hashing network: a backbone and one linear layer, the hash head."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipeline import backbones
from pipeline.encoding.device import Compute, warn_if_emulated
from pipeline.encoding.images import normalization, normalized
from pipeline.runtime import stored
from pipeline.runtime.errors import UserError


class HashNetwork(nn.Module):
    """uint8 images (b, 3, S, S) to raw head outputs u (b, K), float32.

    Args:
        backbone: features of an image.
        code_length: K.
        input_size: pixels that images are resized to on the device.
        compute: where the network is to be, and what its layers compute in.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: backbones.Backbone, code_length: int, input_size: int, compute: Compute) -> None:
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
        self.input_size, self.compute = input_size, compute
        # On the device with the weights, so that a step copies nothing to it; no part of what is stored.
        shift, scale = normalization(backbone)
        self.register_buffer("shift", shift, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = normalized(images, self.shift, self.scale, self.input_size, self.compute.memory_format)
        with self.compute.autocast():
            outputs: Tensor = self.head(self.backbone(pixels))
        return outputs.float()


def build(section: dict[str, Any], code_length: int, compute: Compute) -> HashNetwork:
    """The network of params.yaml's ``backbone`` section, on the device in its memory format.

    Says in a line on standard error where the device has to emulate the precision.
    """
    warn_if_emulated(compute)
    backbone = backbones.create(section["name"], weights=section["weights"])
    network = HashNetwork(backbone, code_length, section["input_size"], compute)
    return network.to(compute.device).to(memory_format=compute.memory_format)


def load(section: dict[str, Any], code_length: int, compute: Compute, weights: Path) -> HashNetwork:
    """A trained network: built without pretrained weights, then filled from a cell's safetensors file.

    Weights are stored in float32, whatever they were trained in.
    """
    network = build({**section, "weights": "none"}, code_length, compute)
    network.load_state_dict(stored.weights(weights))
    return network.eval()
