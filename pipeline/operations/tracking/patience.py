"""A server that doesn't answer, answers for ever, or sends everybody away, is given up after seconds."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError

#: Seconds without a call to the server that came to its end. MLflow's own limits are for a part of a call: one that
#: sends a byte now and then, or answers 429 with a time to wait, holds a call for ever.
LONGEST = 12.0

Result = TypeVar("Result")
_last = [0.0]


def beat() -> None:
    """Say that something came to its end."""
    _last[0] = time.monotonic()


class Watched:
    """An MLflow client each call of which is a ``beat`` when it has ended."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return found(*arguments, **options)
            finally:
                beat()

        return call


def bounded(work: Callable[[], Result]) -> Result:
    """What ``work`` returns or raises, unless nothing of it comes to an end for ``LONGEST`` seconds.

    It goes on in a thread then, which ends with the process (``leave``). An SQLite file is waited for: another process
    of this machine is writing it.

    Raises:
        UserError: it was given up.
    """
    if locations.uri().startswith(locations.SQLITE):
        return work()
    ended: list[tuple[Result | None, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((work(), None))
        except BaseException as error:
            ended.append((None, error))

    beat()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not ended and time.monotonic() - _last[0] < LONGEST:
        thread.join(0.1)
    if not ended:
        raise UserError(f"{locations.shown()} has not answered for {LONGEST:.0f} s")
    result, error = ended[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def leave(code: int) -> None:
    """End the process, whatever threads still wait for a server."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
