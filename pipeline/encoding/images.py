"""Pixels on the device: uint8 until the moment a batch is used."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.backbones import Backbone


def to_device(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Images (n, S, S, 3) uint8 as a (n, 3, S, S) uint8 tensor on the device."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Augmentation:
    """Random shifts and mirror images, drawn per image on the device.

    Args:
        crop_padding: pixels of black border added before a random crop of the stored size; 0 for none.
        flip: whether half of the images are mirrored left to right.
    """

    crop_padding: int
    flip: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(b, 3, S, S) uint8 in and out."""
        if self.crop_padding:
            images = self._crop(images, generator)
        if self.flip:
            coin = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device) < 0.5
            images = torch.where(coin.to(images.device), images.flip(3), images)
        return images

    def _crop(self, images: Tensor, generator: torch.Generator) -> Tensor:
        b, _, height, width = images.shape
        padding = self.crop_padding
        padded = functional.pad(images, (padding,) * 4)
        corners = torch.randint(0, 2 * padding + 1, (2, b), generator=generator, device=generator.device)
        top, left = corners.to(images.device)
        rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
        batch = torch.arange(b, device=images.device)[:, None, None, None]
        channels = torch.arange(3, device=images.device)[None, :, None, None]
        return padded[batch, channels, rows, columns]


def normalized(images: Tensor, backbone: Backbone, input_size: int, layout: torch.memory_format) -> Tensor:
    """uint8 pixels (b, 3, S, S) as the network's input: resized on the device, scaled, normalized float32."""
    pixels = images.to(torch.float32, memory_format=layout)
    if pixels.shape[-1] != input_size:
        pixels = functional.interpolate(
            pixels, size=(input_size, input_size), mode="bilinear", antialias=pixels.shape[-1] > input_size
        )
    # Python numbers rather than tensors: nothing is copied to the device in a step.
    channels = [
        (pixels[:, c] - 255 * mean) / (255 * std)
        for c, (mean, std) in enumerate(zip(backbone.mean, backbone.std, strict=True))
    ]
    return torch.stack(channels, dim=1).contiguous(memory_format=layout)
