"""Collect what concurrent requests want computed, so that the network computes it in batches."""

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.operations.search.items import Packed

Array = npt.NDArray[Any]
Wanted = tuple[Array, "Future[Packed]"]


class Batches:
    """One thread that computes codes of arrays in batches.

    A batch begins with the first array that waits. It starts when ``most`` arrays wait, or after ``patience``. Arrays
    that arrive while a batch is computed wait for the next one, so batches grow with the load.

    Args:
        compute: returns the packed codes (n, ceil(K / 8)) of n arrays; called by one thread only.
        most: maximum number of arrays in a batch.
        patience: maximum time in seconds for which the first array of a batch waits for others.

    Attributes:
        sizes: the number of batches of each size.
    """

    def __init__(self, compute: Callable[[Array], Packed], most: int = 32, patience: float = 0.004) -> None:
        self._compute, self._most, self._patience = compute, most, patience
        self._waiting: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self.sizes: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    async def code(self, array: Array) -> Packed:
        """Compute the packed code (1, ceil(K / 8)) of an array.

        Raises:
            Exception: what ``compute`` raises for this array. Other arrays of its batch get their codes.
        """
        code: Future[Packed] = Future()
        self._waiting.put((array, code))
        return await asyncio.wrap_future(code)

    def close(self) -> None:
        """End the thread after it has computed what waits."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ended = self._collect(first)
            self.sizes[len(batch)] += 1
            self._answer(batch)
            if ended:
                return

    def _collect(self, first: Wanted) -> tuple[list[Wanted], bool]:
        """A batch that begins with ``first``, and whether ``close`` was called meanwhile."""
        batch, due = [first], time.monotonic() + self._patience
        while len(batch) < self._most:
            try:
                more = self._waiting.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
        return batch, False

    def _answer(self, batch: list[Wanted]) -> None:
        try:
            codes = self._compute(np.stack([array for array, _ in batch]))
        except Exception as error:
            if len(batch) == 1:
                _set(batch[0][1], error)
            else:  # one array of a wrong shape must not fail the others' requests
                for wanted in batch:
                    self._answer([wanted])
        else:
            for row, (_, code) in enumerate(batch):
                _set(code, codes[row : row + 1])


def _set(code: "Future[Packed]", result: Packed | Exception) -> None:
    if not code.set_running_or_notify_cancel():  # its request has ended
        return
    if isinstance(result, Exception):
        code.set_exception(result)
    else:
        code.set_result(result)
