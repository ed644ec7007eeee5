"""Random views of a training batch, drawn on the device: of images by augmentation, of features by stored views."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class RandomViews(Protocol):
    """Makes random views of each input of a batch."""

    def __call__(self, batch: Tensor, generator: torch.Generator, count: int) -> list[Tensor]:
        """``count`` views of each input, each what the network takes; ``generator`` is the source of all randomness."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """Random crops and horizontal flips, drawn per image on the device.

    Each view is drawn by itself, so two views of an image may be the same, as they are for half of the images if only
    flips are asked for.

    Args:
        crop_padding: pixels of black border added before a random crop of the stored size; 0 for no crop.
        flip: whether each image is flipped left to right with probability 0.5.
    """

    crop_padding: int
    flip: bool

    def __call__(self, batch: Tensor, generator: torch.Generator, count: int) -> list[Tensor]:
        """Augment a batch of images ``count`` times; images and each result are (b, 3, S, S) uint8."""
        return [self._augment(batch, generator) for _ in range(count)]

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
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


def stored_views(batch: Tensor, generator: torch.Generator, count: int) -> list[Tensor]:
    """``count`` different views of each input, drawn from the stored ones: (b, D) each, of features (b, V, D).

    With one stored view, all are this view. V is 1, or at least ``count``.
    """
    size, stored = batch.shape[:2]
    if stored == 1:
        return [batch[:, 0]] * count
    if count == 1:
        chosen = torch.randint(stored, (1, size), generator=generator, device=generator.device)
    else:
        order = torch.rand((size, stored), generator=generator, device=generator.device).argsort(dim=1)
        chosen = order[:, :count].T
    rows = torch.arange(size, device=batch.device)
    return [batch[rows, view] for view in chosen.to(batch.device)]
