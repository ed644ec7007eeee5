"""How a batch of pixels gets from the host's memory to where it is used."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def to_device(images: Images, device: torch.device) -> Tensor:
    """Images (n, S, S, 3) uint8 as a new (n, 3, S, S) uint8 tensor on the device."""
    return _channels_first(torch.from_numpy(np.ascontiguousarray(images)).to(device))


class Arrival(Protocol):
    """Takes one batch after the other: ``read`` in a thread of its own, then ``take`` in the thread that uses it."""

    def read(self, images: Images, rows: Rows) -> None: ...

    def take(self) -> Tensor:
        """The batch that was read, (b, 3, S, S) uint8 on the device."""
        ...


def arrivals(count: int, images: Images, batch_size: int, device: torch.device) -> list[Arrival]:
    """As many as there are to be batches under way, each with room for ``batch_size`` images."""
    if device.type == "cuda":
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return [_ToCuda((batch_size, *images.shape[1:]), device, stream) for _ in range(count)]
    return [_Plain(device) for _ in range(count)]


class _Plain:
    """For the CPU, and for devices that can't copy while they compute."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def read(self, images: Images, rows: Rows) -> None:
        self._batch = images[rows]

    def take(self) -> Tensor:
        return to_device(self._batch, self._device)


class _ToCuda:
    """Page-locked memory that a thread fills, copied by a stream of its own while the GPU computes.

    The thread that trains never waits for the GPU: it queues the use of a batch behind the batch's arrival. The
    thread that reads does, before it overwrites a batch whose use is still queued, so no more batches
    than these are ever under way, however far training runs ahead of the GPU.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device, stream: torch.cuda.Stream) -> None:
        self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._there = torch.empty(shape, dtype=torch.uint8, device=device)
        # Between two streams memory changes hands only when the one that had it is done with it.
        stream.wait_stream(torch.cuda.current_stream(device))
        self._there.record_stream(stream)
        self._stream, self._size = stream, 0
        # Blocking: a thread that waits sleeps, rather than spin on the core that training needs.
        self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._taken = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def read(self, images: Images, rows: Rows) -> None:
        self._taken.synchronize()
        self._size = len(rows)
        host = self._host[: self._size]
        # Rows are known to be there; checking them again would make NumPy read into a buffer of its own first.
        np.take(images, rows, axis=0, out=host.numpy(), mode="clip")
        with torch.cuda.stream(self._stream):
            self._there[: self._size].copy_(host, non_blocking=True)
            self._arrived.record()

    def take(self) -> Tensor:
        stream = torch.cuda.current_stream(self._there.device)
        stream.wait_event(self._arrived)
        batch = _channels_first(self._there[: self._size])
        self._taken.record(stream)
        return batch


def _channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
