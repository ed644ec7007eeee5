"""Batches of images, or of features, on the device. Images are kept as uint8 until they are used."""

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
from pipeline.encoding.transfer import Arrival, Images, Rows, arrivals, shape_of, type_of

# Number of batches that are read ahead, each by its own thread.
_AHEAD = 2
# Number of images that are read at a time when all are copied to the device.
_AT_ONCE = 1024


class Inputs(Protocol):
    """A set of images from which batches are taken, on the device or on disk; or of features (n, V, D) float32."""

    def __len__(self) -> int: ...

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each batch, (b, 3, S, S) uint8 on the device, given its (b,) indices on the device."""
        ...

    def in_order(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, (b, 3, S, S) uint8 on the device; b is ``size``, or less in the last batch."""
        ...


def inputs(images: Images, rows: Rows, device: torch.device) -> Inputs:
    """Provide ``images[rows]``: held on the device if they fit into half of its free memory, else read on demand.

    Both give the same batches.

    Args:
        images: (N, S, S, 3) uint8, or features (N, V, D) float32; usually memory-mapped.
        rows: (n,) the rows to use.
        device: the target device.
    """
    size = len(rows) * int(np.prod(images.shape[1:])) * images.dtype.itemsize
    mapped = Mapped(images, rows, device)
    return Resident.copy_of(mapped) if size <= _free(device) // 2 else mapped


def _free(device: torch.device) -> int:
    """Free memory in bytes where the images would be held: on the GPU for CUDA, else on the host."""
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
    """All images as one tensor (n, 3, S, S) on the device; a batch needs no transfer between host and device."""

    images: Tensor

    @classmethod
    def copy_of(cls, source: "Mapped") -> "Resident":
        """Copy all images of ``source`` to the device in parts, without a second full copy in memory."""
        held = torch.empty((len(source), *shape_of(source.images)), dtype=type_of(source.images), device=source.device)
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
    """Images in a memory-mapped file; threads read the next batches while one is used."""

    images: Images
    rows: Rows
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        if not batches:
            return iter(())
        # Copy all indices to the host at once: a copy per batch would make every step wait for the device.
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
    """Wait for the oldest batch in flight to be read, and return its buffer."""
    arrival, reading = under_way.popleft()
    reading.result()
    return arrival


def normalization(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Shift and scale of a backbone for ``normalized``, for pixels of 0 to 255; (3, 1, 1) each."""
    shift, scale = (torch.tensor([255 * value for value in values]) for values in (backbone.mean, backbone.std))
    return shift.view(3, 1, 1), scale.view(3, 1, 1)


def normalized(images: Tensor, shift: Tensor, scale: Tensor, input_size: int, layout: torch.memory_format) -> Tensor:
    """Convert uint8 pixels to the network's input: float32, resized and normalized on the device.

    Args:
        images: (b, 3, S, S) uint8.
        shift, scale: (3, 1, 1) on the device; the result is (pixel - shift) / scale.
        input_size: side of the result in pixels.
        layout: memory format of the result.

    Returns:
        (b, 3, input_size, input_size) float32.
    """
    # On a CPU, these steps take nine times as long in channels last with three channels. So convert the layout last.
    first = torch.contiguous_format if images.device.type == "cpu" else layout
    pixels = images.to(torch.float32, memory_format=first)
    if pixels.shape[-1] != input_size:
        pixels = functional.interpolate(
            pixels, size=(input_size, input_size), mode="bilinear", antialias=pixels.shape[-1] > input_size
        )
    return pixels.sub_(shift).div_(scale).contiguous(memory_format=layout)
