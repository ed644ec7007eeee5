"""The hashing network: a backbone and a head; or a head alone, which reads features of a frozen backbone."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline import backbones
from pipeline.encoding.augmentation import Augmentation, RandomViews, stored_views
from pipeline.encoding.device import Compute, make_deterministic, warn_if_emulated
from pipeline.encoding.head import LINEAR, Head, Standardize, make_head, of_method
from pipeline.encoding.images import Inputs, normalization, normalized
from pipeline.params import schema
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.layout import Group

#: Maximum number of images per forward pass; larger batches don't fit a CPU's cache, or leave a GPU idle.
BATCH = {"cpu": 256, "cuda": 4096, "mps": 512}
#: Maximum number of input pixels per forward pass: 668 images of 224 x 224. VGG's first layer has 64 values per pixel,
#: 4 GiB in bfloat16.
PIXELS = 1 << 25


class HashNetwork(nn.Module):
    """Maps inputs to raw head outputs u (b, K), float32. A subclass says what the inputs are.

    Args:
        backbone: maps images to features; ``nn.Identity()`` if the inputs are features.
        head: maps features to u.
        code_length: K, the number of bits.
        compute: the device that the network will be moved to, and the precision of its layers.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, code_length: int, compute: Compute) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.code_length, self.compute = code_length, compute

    @property
    def device(self) -> torch.device:
        return self.compute.device

    @property
    def batch_size(self) -> int:
        """Number of inputs per forward pass in evaluation mode."""
        return BATCH[self.device.type]

    def random_views(self, section: schema.Augmentation) -> RandomViews:
        """How views of a training batch are drawn: by params.yaml's ``training.augmentation``, or of stored views."""
        raise NotImplementedError

    def adapt(self, inputs: Inputs) -> None:
        """Compute what the head needs to know of the training set's features, before the first epoch."""


class ImageNetwork(HashNetwork):
    """Maps uint8 images (b, 3, S, S) to raw head outputs u (b, K), float32.

    Args:
        backbone: maps images to features.
        head: maps features to u.
        code_length: K, the number of bits.
        input_size: side in pixels to which images are resized on the device.
        compute: the device that the network will be moved to, and the precision of its layers.
        frozen: the backbone stays in evaluation mode, and the head computes in float32, as in training on features.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: backbones.Backbone,
        head: nn.Module,
        code_length: int,
        input_size: int,
        compute: Compute,
        *,
        frozen: bool = False,
    ) -> None:
        super().__init__(backbone, head, code_length, compute)
        self.input_size, self.frozen = input_size, frozen
        # Buffers, so that they are on the device and a step needs no copy; not part of the state_dict.
        shift, scale = normalization(backbone)
        self.register_buffer("shift", shift, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    @property
    def memory_format(self) -> torch.memory_format:
        """That of ``compute``; channels_last for a frozen backbone, as where its features are computed."""
        return torch.channels_last if self.frozen else self.compute.memory_format

    @property
    def batch_size(self) -> int:
        return max(1, min(super().batch_size, PIXELS // self.input_size**2))

    def random_views(self, section: schema.Augmentation) -> RandomViews:
        return Augmentation(**section)

    def train(self, mode: bool = True) -> "ImageNetwork":
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        pixels = normalized(images, self.shift, self.scale, self.input_size, self.memory_format)
        with self.compute.autocast():
            outputs: Tensor = self.backbone(pixels)
            if not self.frozen:
                outputs = self.head(outputs)
        return (self.head(outputs.float()) if self.frozen else outputs).float()


class FeatureNetwork(HashNetwork):
    """Maps features to raw head outputs u (b, K), float32. Inputs are (b, D), or (b, V, D) with V views each.

    Of several views, the first is used; in training, ``random_views`` has chosen one before.

    Args:
        head: maps features to u.
        code_length: K, the number of bits.
        compute: the device that the network will be moved to. The head always computes in float32.
    """

    def __init__(self, head: nn.Module, code_length: int, compute: Compute) -> None:
        super().__init__(nn.Identity(), head, code_length, Compute(compute.device, "float32"))

    @property
    def batch_size(self) -> int:
        return 4096

    def random_views(self, section: schema.Augmentation) -> RandomViews:
        return stored_views

    def adapt(self, inputs: Inputs) -> None:
        for layer in self.head.modules():
            if isinstance(layer, Standardize):
                layer.fit(first_view(batch) for batch in inputs.in_order(self.batch_size))

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.head(first_view(features))
        return outputs


def first_view(features: Tensor) -> Tensor:
    """The view of the whole image, (b, D) float32, of features (b, V, D) or (b, D)."""
    return (features[:, 0] if features.ndim == 3 else features).float()


def build(section: schema.Backbone, code_length: int, compute: Compute, head: Head = LINEAR) -> ImageNetwork:
    """Build the network that reads images, on the device of ``compute`` and in its memory format.

    Prints a warning to standard error if the device has to emulate the precision.

    Args:
        section: params.yaml's ``backbone`` section.
        code_length: K.
        compute: device and precision.
        head: params.yaml's ``head`` section.

    Raises:
        UserError: unknown backbone, weights that can't be loaded, or an input size that the backbone doesn't support.
    """
    warn_if_emulated(compute)
    backbone = backbones.from_section(section)
    made = make_head(head, backbone.num_features, code_length)
    network = ImageNetwork(
        backbone, made, code_length, section["input_size"], compute, frozen=section.get("frozen", False)
    )
    return network.to(compute.device).to(memory_format=network.memory_format)


def for_cell(params: schema.Params, group: Group, compute: Compute, data: Prepared) -> HashNetwork:
    """Build the network that a study's cells train: on images, or on features if the backbone is frozen.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length.
        compute: device and precision.
        data: what the network reads, see ``pipeline.features.views.inputs``.

    Raises:
        UserError: see ``build``.
    """
    head = of_method(params, group.method)
    if not params["backbone"]["frozen"]:
        return build(params["backbone"], group.bits, compute, head)
    made = make_head(head, data.images.shape[-1], group.bits)
    return FeatureNetwork(made, group.bits, compute).to(compute.device)


def load(
    section: schema.Backbone, code_length: int, compute: Compute, weights: Path, head: Head = LINEAR
) -> ImageNetwork:
    """Load a network that reads images: built without pretrained weights, then filled from a safetensors file.

    Weights are always stored in float32, independent of the training precision.

    Args:
        section: params.yaml's ``backbone`` section.
        code_length: K.
        compute: device and precision.
        weights: the safetensors file, with all weights of backbone and head.
        head: params.yaml's ``head`` section.

    Returns:
        the network in evaluation mode.
    """
    network = build({**section, "weights": "none"}, code_length, compute, head)
    network.load_state_dict(stored.weights(weights))
    return network.eval()


def load_cell(params: schema.Params, group: Group, compute: Compute, data: Prepared, weights: Path) -> HashNetwork:
    """Load a cell's network in evaluation mode, from the safetensors file that ``train`` wrote.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length.
        compute: device and precision.
        data: what the network reads, see ``pipeline.features.views.inputs``.
        weights: the cell's ``weights.safetensors``.
    """
    head = of_method(params, group.method)
    if not params["backbone"]["frozen"]:
        return load(params["backbone"], group.bits, compute, weights, head)
    return load_head(head, data.images.shape[-1], group.bits, compute, weights)


def load_head(section: Head, num_features: int, code_length: int, compute: Compute, weights: Path) -> FeatureNetwork:
    """Load a network that reads features, in evaluation mode.

    Args:
        section: params.yaml's ``head`` section.
        num_features: D.
        code_length: K.
        compute: device and precision.
        weights: the safetensors file, with the weights of the head.
    """
    network = FeatureNetwork(make_head(section, num_features, code_length), code_length, compute)
    network.load_state_dict(stored.weights(weights))
    return network.to(compute.device).eval()


def with_backbone(params: schema.Params, group: Group, compute: Compute, weights: Path) -> ImageNetwork:
    """Load a cell's network so that it reads images, also if its backbone is frozen.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length.
        compute: device and precision.
        weights: the cell's ``weights.safetensors``; without the backbone's weights if that is frozen.
    """
    head = of_method(params, group.method)
    if not params["backbone"]["frozen"]:
        return load(params["backbone"], group.bits, compute, weights, head)
    make_deterministic(0, compute.device)  # as for the features, for a backbone with random weights
    network = build(params["backbone"], group.bits, compute, head)
    network.load_state_dict({**network.state_dict(), **stored.weights(weights)})
    return network.eval()
