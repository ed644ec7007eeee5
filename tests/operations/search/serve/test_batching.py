"""Arrays of concurrent requests are computed together, and one bad array fails alone."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from pipeline.operations.search.items import Packed
from pipeline.operations.search.serve.batching import Array, Batches


def first_values(arrays: Array) -> Packed:
    if (arrays == 13).any():
        raise ValueError("thirteen")
    return arrays[:, :1].astype(np.uint8)


async def all_of(batches: Batches, values: list[Any]) -> list[Any]:
    asked = [batches.code(np.asarray(value)) for value in values]
    return await asyncio.gather(*asked, return_exceptions=True)


def test_each_request_gets_its_own_code() -> None:
    batches = Batches(first_values, most=8, patience=0.5)
    found = asyncio.run(all_of(batches, [[value, 0] for value in range(12)]))
    assert [code.tolist() for code in found] == [[[value]] for value in range(12)]
    assert batches.sizes == {8: 1, 4: 1}
    batches.close()


def test_a_bad_array_fails_alone() -> None:
    batches = Batches(first_values, patience=0.5)
    found = asyncio.run(all_of(batches, [[1, 0], [13, 0], [2, 0, 0], [3, 0]]))
    assert [found[place].tolist() for place in (0, 2, 3)] == [[[1]], [[2]], [[3]]]
    assert isinstance(found[1], ValueError)
    assert batches.sizes == {4: 1}
    batches.close()


def test_what_comes_during_a_batch_makes_up_the_next() -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(arrays: Array) -> Packed:
        started.set()
        assert go_on.wait(60)
        return first_values(arrays)

    async def asked() -> None:
        first = asyncio.create_task(batches.code(np.array([1])))
        await asyncio.to_thread(started.wait)
        rest = [asyncio.create_task(batches.code(np.array([value]))) for value in range(5)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *rest)

    batches = Batches(slow, patience=0)
    asyncio.run(asked())
    assert batches.sizes == {1: 1, 5: 1}
    batches.close()


def test_a_request_that_ends_early_harms_no_other() -> None:
    async def asked() -> Packed:
        gone = asyncio.create_task(batches.code(np.array([1])))
        await asyncio.sleep(0)
        gone.cancel()
        return await batches.code(np.array([2]))

    batches = Batches(first_values, patience=0.2)
    assert asyncio.run(asked()).tolist() == [[2]]
    batches.close()


def test_close_answers_what_waits() -> None:
    async def asked() -> list[Any]:
        waiting = asyncio.gather(*(batches.code(np.array([value])) for value in range(3)))
        await asyncio.sleep(0)
        await asyncio.to_thread(batches.close)
        return await asyncio.wait_for(waiting, 60)

    batches = Batches(first_values, patience=60)
    assert [code.item() for code in asyncio.run(asked())] == [0, 1, 2]


def test_memory_that_runs_out_is_an_answer() -> None:
    def none_left(arrays: Array) -> Packed:
        raise MemoryError

    batches = Batches(none_left)
    with pytest.raises(MemoryError):
        asyncio.run(batches.code(np.array([1])))
    batches.close()
