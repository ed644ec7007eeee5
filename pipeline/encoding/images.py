"""Pixels on the device: uint8 until the moment a batch is used."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.backbones import Backbone

# Batches that are read before they are needed.
_AHEAD = 2


def to_device(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Images (n, S, S, 3) uint8 as a (n, 3, S, S) uint8 tensor on the device."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).contiguous()


class Pixels(Protocol):
    """Images that batches are taken from, wherever they are."""

    def __len__(self) -> int: ...

    def batches(self, batches: list[Tensor]) -> Iterator[Tensor]:
        """For each (b,) indices on the device, its images (b, 3, S, S) uint8 on the device."""
        ...


def pixels(images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], device: torch.device) -> Pixels:
    """``images[rows]``, held on the device where they fit into half of its free memory, else read as they are used.

    Either way gives the same batches.
    """
    size = len(rows) * int(np.prod(images.shape[1:]))
    return Resident(to_device(images[rows], device)) if size <= _free(device) // 2 else Mapped(images, rows, device)


def _free(device: torch.device) -> int:
    """Bytes of memory that are free where images would be held."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            known = dict(line.split(":", 1) for line in file)
        return int(known["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Resident:
    """All images as one tensor on the device; a batch copies nothing to or from it."""

    images: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batches: list[Tensor]) -> Iterator[Tensor]:
        return (self.images[indices] for indices in batches)


@dataclass(frozen=True)
class Mapped:
    """Images in a memory-mapped file; while a batch is used, a thread reads the next ones."""

    images: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batches: list[Tensor]) -> Iterator[Tensor]:
        ahead: deque[Future[npt.NDArray[np.uint8]]] = deque()
        with ThreadPoolExecutor(1) as reader:
            for indices in batches:
                ahead.append(reader.submit(self._read, self.rows[indices.cpu().numpy()]))
                if len(ahead) > _AHEAD:
                    yield to_device(ahead.popleft().result(), self.device)
            while ahead:
                yield to_device(ahead.popleft().result(), self.device)

    def _read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        # In the order of the file, then put back: neighbours share pages.
        order = np.argsort(rows)
        found = np.empty((len(rows), *self.images.shape[1:]), np.uint8)
        found[order] = self.images[rows[order]]
        return found


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
