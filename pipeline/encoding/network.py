"""The hashing network: a backbone and one linear layer, the hash head."""

from pathlib import Path

from torch import Tensor, nn

from pipeline import backbones
from pipeline.encoding.device import Compute, warn_if_emulated
from pipeline.encoding.images import normalization, normalized
from pipeline.params import schema
from pipeline.runtime import stored


class HashNetwork(nn.Module):
    """Maps uint8 images (b, 3, S, S) to raw head outputs u (b, K), float32.

    Args:
        backbone: maps images to features.
        code_length: K, the number of bits.
        input_size: side in pixels to which images are resized on the device.
        compute: the device that the network will be moved to, and the precision of its layers.

    Raises:
        UserError: the backbone doesn't support ``input_size``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: backbones.Backbone, code_length: int, input_size: int, compute: Compute) -> None:
        super().__init__()
        backbone.set_input_size(input_size)
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, code_length)
        # Outputs have unit variance for unit features, whatever the number of features. Outputs near 0 would be a
        # saddle point of inner-product losses, from which all bits learn the same direction (with std 0.01, which
        # suits 4,096 features, dhn has mAP 0.56 on digits).
        nn.init.normal_(self.head.weight, std=backbone.num_features**-0.5)
        nn.init.zeros_(self.head.bias)
        self.input_size, self.compute = input_size, compute
        # Buffers, so that they are on the device and a step needs no copy; not part of the state_dict.
        shift, scale = normalization(backbone)
        self.register_buffer("shift", shift, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = normalized(images, self.shift, self.scale, self.input_size, self.compute.memory_format)
        with self.compute.autocast():
            outputs: Tensor = self.head(self.backbone(pixels))
        return outputs.float()


def build(section: schema.Backbone, code_length: int, compute: Compute) -> HashNetwork:
    """Build the network, on the device of ``compute`` and in its memory format.

    Prints a warning to standard error if the device has to emulate the precision.

    Args:
        section: params.yaml's ``backbone`` section.
        code_length: K.
        compute: device and precision.

    Raises:
        UserError: unknown backbone, weights that can't be loaded, or an input size that the backbone doesn't support.
    """
    warn_if_emulated(compute)
    own = {key: value for key, value in section.items() if key not in schema.Backbone.__annotations__}
    backbone = backbones.create(section["name"], weights=section["weights"], **own)
    network = HashNetwork(backbone, code_length, section["input_size"], compute)
    return network.to(compute.device).to(memory_format=compute.memory_format)


def load(section: schema.Backbone, code_length: int, compute: Compute, weights: Path) -> HashNetwork:
    """Load a trained network: built without pretrained weights, then filled from a cell's safetensors file.

    Weights are always stored in float32, independent of the training precision.

    Args:
        section: params.yaml's ``backbone`` section.
        code_length: K.
        compute: device and precision.
        weights: the safetensors file.

    Returns:
        the network in evaluation mode.
    """
    network = build({**section, "weights": "none"}, code_length, compute)
    network.load_state_dict(stored.weights(weights))
    return network.eval()
