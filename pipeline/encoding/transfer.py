"""Transfer batches of images, or of features, from host memory to the device."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: (n, S, S, 3) uint8, or features (n, V, D) float32.
Images = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


def to_device(images: Images, device: torch.device) -> Tensor:
    """Copy images (n, S, S, 3) to a new tensor (n, 3, S, S) on the device; features keep their shape."""
    return _channels_first(torch.from_numpy(np.ascontiguousarray(images)).to(device))


def shape_of(images: Images) -> tuple[int, ...]:
    """The shape of one image on the device: (3, S, S); or of one image's features, (V, D)."""
    size = tuple(images.shape[1:])
    return (size[2], *size[:2]) if len(size) == 3 else size


def type_of(images: Images) -> torch.dtype:
    return torch.uint8 if images.dtype == np.uint8 else torch.float32


class Arrival(Protocol):
    """A reusable buffer for one batch: ``read`` is called in a reader thread, then ``take`` in the consumer thread."""

    def read(self, images: Images, rows: Rows) -> None: ...

    def take(self) -> Tensor:
        """Return the batch that was read, (b, 3, S, S) uint8 on the device."""
        ...


def arrivals(count: int, images: Images, batch_size: int, device: torch.device) -> list[Arrival]:
    """Make the buffers of a pipeline.

    Args:
        count: number of batches that can be in flight.
        images: the images to read, (n, S, S, 3) uint8.
        batch_size: maximum number of images per batch.
        device: the target device.
    """
    if device.type == "cuda":
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return [_ToCuda((batch_size, *images.shape[1:]), type_of(images), device, stream) for _ in range(count)]
    return [_Plain(device) for _ in range(count)]


class _Plain:
    """Buffer for the CPU, and for devices that can't copy while they compute."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def read(self, images: Images, rows: Rows) -> None:
        self._batch = images[rows]

    def take(self) -> Tensor:
        return to_device(self._batch, self._device)


class _ToCuda:
    """Buffer of pinned memory that a reader thread fills and a separate CUDA stream copies while the GPU computes.

    The training thread never waits for the GPU: its stream waits for the copy. The reader thread does wait for the
    GPU, until the previous batch in this buffer has been used. So the number of batches in flight is limited to the
    number of buffers, even if training queues work far ahead of the GPU.
    """

    def __init__(
        self, shape: tuple[int, ...], kind: torch.dtype, device: torch.device, stream: torch.cuda.Stream
    ) -> None:
        self._host = torch.empty(shape, dtype=kind, pin_memory=True)
        self._there = torch.empty(shape, dtype=kind, device=device)
        # The memory was allocated on the current stream and is used on ``stream``: wait for earlier work on it, and
        # tell the allocator not to reuse it before ``stream`` is done.
        stream.wait_stream(torch.cuda.current_stream(device))
        self._there.record_stream(stream)
        self._stream, self._size = stream, 0
        # blocking=True: a waiting thread sleeps instead of spinning on a core that training needs.
        self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._taken = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def read(self, images: Images, rows: Rows) -> None:
        self._taken.synchronize()
        self._size = len(rows)
        host = self._host[: self._size]
        if isinstance(images, np.ndarray):
            # The rows are valid, so mode="clip" changes none. The default, which checks them, would make NumPy read
            # into a temporary buffer first.
            np.take(images, rows, axis=0, out=host.numpy(), mode="clip")
        else:  # features of several views, in a file each
            host.numpy()[:] = images[rows]
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
    if images.ndim != 4:
        return images.clone()
    return images.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
