"""Epochs in MLflow while a cell trains, from a process of its own."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from pipeline.runtime.layout import Cell

#: Seconds that a cell trains before anyone could want to watch it; MLflow takes about five to start.
DELAY = 10.0
#: Seconds to wait, after training, for the other process to log what is left.
PATIENCE = 60.0


@contextmanager
def live(cell: Cell, history: Path) -> Iterator[None]:
    """While the block runs, another process reads ``history`` as it grows and logs it to MLflow.

    MLflow takes seconds to import and a server may be slow or away: neither may hold up training, and nothing that
    goes wrong there is an error here. A cell that is done within ``DELAY`` seconds is left to the report stage,
    which brings all results into MLflow at once. The other process learns that training has ended, well or
    not, when its standard input closes.
    """
    follower = _Follower([str(value) for value in astuple(cell)] + [str(history)])
    timer = threading.Timer(DELAY, follower.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        reason = follower.finish()
        if reason:
            print(
                f"warning: MLflow has not logged {cell.name} ({reason}); its results are kept all the same, "
                "and `python -m pipeline.tracking` logs them later",
                file=sys.stderr,
            )


class _Follower:
    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.tracking.follow", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> str:
        """Let the process log what is left; returns why it could not, or nothing."""
        if self._process is None:
            return ""
        try:
            _, said = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return f"no answer within {PATIENCE:.0f} s"
        lines = said.strip().splitlines()
        return (lines[-1] if lines else "unknown reason") if self._process.returncode else ""
