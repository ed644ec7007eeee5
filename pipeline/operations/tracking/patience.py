"""A time limit for servers that don't answer, never finish an answer, or refuse all requests."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError

# MLflow's own limit, which MLflow reads too. A server on a busy machine may take 12 seconds (measured).
_VARIABLE = "MLFLOW_HTTP_REQUEST_TIMEOUT"
os.environ.setdefault(_VARIABLE, "30")

Result = TypeVar("Result")
_last = [0.0]


def beat() -> None:
    """Record that a call has finished, which restarts the time limit."""
    _last[0] = time.monotonic()


class Watched:
    """An MLflow client that calls ``beat`` after each call."""

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


def longest() -> float:
    """Maximum number of seconds without a finished call: MLflow's limit and two seconds.

    MLflow's limit applies to parts of a call: a server that sends a byte now and then, or answers 429 with a time to
    wait, can block a call forever.

    Raises:
        UserError: the variable ``MLFLOW_HTTP_REQUEST_TIMEOUT`` isn't a number.
    """
    try:
        return 2 + float(os.environ[_VARIABLE])
    except ValueError:
        raise UserError(f"{_VARIABLE}: expected seconds; found {os.environ[_VARIABLE]!r}") from None


def bounded(work: Callable[[], Result]) -> Result:
    """Run ``work``, but stop waiting when no call has finished for ``longest()`` seconds.

    ``work`` then continues in a daemon thread, which ends with the process (``leave``). An SQLite file has no time
    limit here, since it is slow only while another process of this machine writes it.

    Returns:
        what ``work`` returns. Its exceptions are raised.

    Raises:
        UserError: the time limit was exceeded.
    """
    if locations.uri().startswith(locations.SQLITE):
        return work()
    limit = longest()
    ended: list[tuple[Result | None, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((work(), None))
        except BaseException as error:
            ended.append((None, error))

    beat()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not ended and time.monotonic() - _last[0] < limit:
        thread.join(0.1)
    if not ended:
        raise UserError(f"{locations.shown()} has not answered for {limit:.0f} s")
    result, error = ended[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def leave(code: int) -> None:
    """End the process immediately with this exit code, even if threads still wait for a server."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
