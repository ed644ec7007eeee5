"""Epochs in MLflow while a cell trains, from a process of its own."""

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple
from typing import Any

from pipeline.runtime.layout import Cell, Layout

#: Seconds that a cell trains before anyone could want to watch it; MLflow takes about five to start.
DELAY = 10.0
#: Seconds to wait, after training, for the other process to log what is left; an SQLite file takes half a second.
PATIENCE = 10.0


@contextmanager
def followed(params: dict[str, Any], layout: Layout, cell: Cell) -> Iterator[None]:
    """While the block runs, another process reads the cell's history as it grows and logs it to MLflow.

    It is told what the cell is made with, and never looks at params.yaml, which may be edited while the block runs.

    MLflow takes seconds to import and a server may be slow or away: neither may hold up training, and nothing that
    goes wrong there is an error here. A cell that is done within ``DELAY`` seconds is left to the report stage,
    which brings all results into MLflow at once; so is one that is done before the other process has begun its run,
    or that a slow server has no time for. The other process learns that training has ended, well or not, when its
    standard input closes.
    """
    assert layout.record is not None
    history = layout.aside(layout.train(cell)) / "history.csv"
    told = json.dumps({"params": params, "record": asdict(layout.record), "begun": int(time.time() * 1000)})
    follower = _Follower([str(value) for value in astuple(cell)] + [str(history)], told)
    timer = threading.Timer(DELAY, follower.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        reason = follower.finish()
        if reason:
            print(
                f"warning: MLflow has not logged {cell.name} ({reason}); its results are kept, "
                "and `make track` logs them later",
                file=sys.stderr,
            )


class _Follower:
    def __init__(self, arguments: list[str], told: str) -> None:
        self._arguments, self._told = arguments, told
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._over = False

    def start(self) -> None:
        with self._lock:
            if self._over:
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.operations.tracking.follow", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):  # it has ended; why is asked for when training has
                self._process.stdin.write(f"{self._told}\n")
                self._process.stdin.flush()

    def finish(self) -> str:
        """Let the process log what is left; returns why it could not, or nothing."""
        with self._lock:
            self._over = True
        if self._process is None:
            return ""
        if not self._begun():
            # Still importing, or waiting for the server's first answer: there is no run to end.
            self._process.kill()
            self._process.communicate()
            return ""
        try:
            _, said = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return f"it was not done {PATIENCE:.0f} s after training"
        lines = said.strip().splitlines()
        return (lines[-1] if lines else "unknown reason") if self._process.returncode else ""

    def _begun(self) -> bool:
        """Whether the process has said that its run is there, or has ended."""
        assert self._process is not None and self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])
