"""Log a cell's epochs to MLflow during training, from a separate process."""

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple

from pipeline.params import Params
from pipeline.runtime.layout import Cell, Layout

#: Seconds of training before the other process is started. MLflow takes about five seconds of a core to start, which
#: cells of ten seconds, several at a time, would wait for.
DELAY = 60.0
#: Seconds to wait, after training, for the other process to log the last rows; an SQLite file takes half a second.
PATIENCE = 10.0


@contextmanager
def followed(params: Params, layout: Layout, cell: Cell) -> Iterator[None]:
    """Log a cell's history to MLflow from another process while the block trains the cell.

    The other process gets the params and the provenance record on its standard input. It does not read params.yaml,
    which may be edited during training. It knows that training has ended, successfully or not, when its standard input
    closes.

    Importing MLflow takes seconds, and a server may be slow or unreachable. Training does not wait for either, and an
    error of the other process is only a warning here. The report stage logs all cells that are not in MLflow yet: those
    that train for less than ``DELAY`` seconds, those that end before the other process has created its run, and those
    that a slow server did not log in time.

    Args:
        params: the content of params.yaml.
        layout: the study's folders, with the record of what the train stage is about to make.
        cell: the cell that the block trains.
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
            with suppress(BrokenPipeError):  # the process has ended; ``finish`` returns the reason
                self._process.stdin.write(f"{self._told}\n")
                self._process.stdin.flush()

    def finish(self) -> str:
        """Let the process log the last rows. Returns the reason if it failed, otherwise an empty string."""
        with self._lock:
            self._over = True
        if self._process is None:
            return ""
        if not self._begun():
            # It is still importing MLflow or waiting for the server's first response, so it has no run to finish.
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
        """Whether the process has printed that its run exists, or has ended."""
        assert self._process is not None and self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])
