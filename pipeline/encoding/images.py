"""Pixels on the device: uint8 until the moment a batch is used."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.backbones import Backbone
from pipeline.encoding.transfer import Arrival, Images, Rows, arrivals

# Batches that are read before they are needed, each by a thread of its own.
_AHEAD = 2
# Images read at a time on their way to where they are held.
_AT_ONCE = 1024


class Pixels(Protocol):
    """Images that batches are taken from, wherever they are."""

    def __len__(self) -> int: ...

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """For each (b,) indices on the device, its images (b, 3, S, S) uint8 on the device."""
        ...

    def in_order(self, size: int) -> Iterator[Tensor]:
        """All images, (b, 3, S, S) uint8 on the device: ``size`` at a time, the last time maybe fewer."""
        ...


def pixels(images: Images, rows: Rows, device: torch.device) -> Pixels:
    """``images[rows]``, held on the device where they fit into half of its free memory, else read as they are used.

    Either way gives the same batches.
    """
    size = len(rows) * int(np.prod(images.shape[1:]))
    mapped = Mapped(images, rows, device)
    return Resident.copy_of(mapped) if size <= _free(device) // 2 else mapped


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
    """All images as one tensor (n, 3, S, S) on the device; a batch copies nothing to or from it."""

    images: Tensor

    @classmethod
    def copy_of(cls, source: "Mapped") -> "Resident":
        """Read a part at a time: nowhere is there a second copy of all images."""
        height, width, channels = source.images.shape[1:]
        shape = (len(source), channels, height, width)
        held = torch.empty(shape, dtype=torch.uint8, device=source.device)
        for place, part in zip(torch.split(held, _AT_ONCE), source.in_order(_AT_ONCE), strict=True):
            place.copy_(part)
        return cls(held)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        return (self.images[indices] for indices in batches)

    def in_order(self, size: int) -> Iterator[Tensor]:
        return iter(torch.split(self.images, size))


@dataclass(frozen=True)
class Mapped:
    """Images in a memory-mapped file; while a batch is used, threads read the next ones."""

    images: Images
    rows: Rows
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        if not batches:
            return iter(())
        # All at once: asking the device for each batch's own would make every step wait for it.
        rows = self.rows[torch.cat(list(batches)).cpu().numpy()]
        ends = np.cumsum([len(batch) for batch in batches])
        return self._read(np.split(rows, ends[:-1]))

    def in_order(self, size: int) -> Iterator[Tensor]:
        return self._read([self.rows[start : start + size] for start in range(0, len(self), size)])

    def _read(self, parts: Sequence[Rows]) -> Iterator[Tensor]:
        free = arrivals(min(_AHEAD + 1, len(parts)), self.images, max(map(len, parts), default=0), self.device)
        under_way: deque[tuple[Arrival, Future[None]]] = deque()
        with ThreadPoolExecutor(_AHEAD) as readers:
            for rows in parts:
                arrival = free.pop()
                under_way.append((arrival, readers.submit(arrival.read, self.images, rows)))
                if not free:
                    free.append(_arrived(under_way))
                    yield free[0].take()
            while under_way:
                yield _arrived(under_way).take()


def _arrived(under_way: deque[tuple[Arrival, Future[None]]]) -> Arrival:
    """The first of those that are under way, when it is there."""
    arrival, reading = under_way.popleft()
    reading.result()
    return arrival


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


def normalization(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """What ``normalized`` shifts and scales pixels of 0 to 255 by for a backbone: (3, 1, 1) each."""
    shift, scale = (torch.tensor([255 * value for value in values]) for values in (backbone.mean, backbone.std))
    return shift.view(3, 1, 1), scale.view(3, 1, 1)


def normalized(images: Tensor, shift: Tensor, scale: Tensor, input_size: int, layout: torch.memory_format) -> Tensor:
    """uint8 pixels (b, 3, S, S) as the network's input: resized on the device, normalized, float32.

    Args:
        shift, scale: (3, 1, 1) on the device; the input is (pixel - shift) / scale.
    """
    # A CPU takes nine times as long over three channels that alternate: there they are turned last.
    first = torch.contiguous_format if images.device.type == "cpu" else layout
    pixels = images.to(torch.float32, memory_format=first)
    if pixels.shape[-1] != input_size:
        pixels = functional.interpolate(
            pixels, size=(input_size, input_size), mode="bilinear", antialias=pixels.shape[-1] > input_size
        )
    return pixels.sub_(shift).div_(scale).contiguous(memory_format=layout)
