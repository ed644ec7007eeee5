"""Progress of a sweep: cells done, running and failed for each method, rate, and time left."""

import statistics
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, TextIO

from pipeline.operations.sweep.call import Call

#: Seconds between two updates, on a terminal and elsewhere.
TERMINAL, ELSEWHERE = 1.0, 15.0


@dataclass
class Progress:
    """Counts and displays the progress of a sweep.

    A cell is done when all of its stages are done. Stages that belong to no cell (splits, tuning, tables) count only
    as stages. The estimate of the time left uses the mean duration of each kind of stage. While a kind that remains has
    not been timed yet, the estimate is a lower bound, and says so.

    Args:
        calls: all stages of the sweep.
        stream: where the progress is written.
    """

    calls: list[Call]
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _live: Any = None
    _begun: float = field(default_factory=time.monotonic)
    _said: float = 0.0
    _ended: dict[str, str] = field(default_factory=dict)
    _running: dict[str, Call] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def started(self, call: Call) -> None:
        self._running[call.address] = call

    def ended(self, call: Call, how: str, seconds: float | None = None) -> None:
        """Count a stage that is done.

        Args:
            call: the stage.
            how: ``current``, ``restored``, ``run``, ``failed`` or ``skipped``.
            seconds: its duration; None if it did not run.
        """
        self._running.pop(call.address, None)
        self._ended[call.address] = how
        if seconds is not None:
            self._seconds[call.kind].append(seconds)

    def count(self, how: str) -> int:
        return sum(1 for value in self._ended.values() if value == how)

    def show(self, slots: int, *, now: bool = False) -> None:
        """Show the progress: a live block on a terminal, elsewhere a line every ``ELSEWHERE`` seconds.

        Args:
            slots: number of stages that run at a time, for the time left.
            now: show it even if the last update was shown a moment ago.
        """
        terminal = self.stream.isatty()
        if not now and time.monotonic() - self._said < (TERMINAL if terminal else ELSEWHERE):
            return
        self._said = time.monotonic()
        lines = self.lines(slots)
        if terminal:
            self._block().update("\n".join(lines), refresh=True)
        else:
            print(lines[-1], file=self.stream, flush=True)

    def _block(self) -> Any:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self.stream, highlight=False, markup=False), auto_refresh=False)
            self._live.start()
        return self._live

    def close(self) -> None:
        """Stop updating; the last block stays on the terminal."""
        if self._live is not None:
            self._live.stop()

    def lines(self, slots: int) -> list[str]:
        """One line for each method, then the totals."""
        cells = self.cells()
        width = max(map(len, cells), default=0)
        running = Counter(call.options.get("method") for call in self._running.values())
        found = [
            f"  {method:<{width}}  {done}/{of} cells"
            + (f", {running[method]} running" if running[method] else "")
            + (f", {failed} failed" if failed else "")
            for method, (done, of, failed) in cells.items()
        ]
        done, of, failed = (sum(values[place] for values in cells.values()) for place in range(3))
        minutes = (time.monotonic() - self._begun) / 60
        return [
            *found,
            f"{done}/{of} cells, {len(self._ended)}/{len(self.calls)} stages, {self._now()}"
            + (f", {failed} cells failed" if failed else "")
            + f"; {done / minutes:.1f} cells/min, {self._left(slots)} left",
        ]

    def _now(self) -> str:
        """How many stages run, and of which kinds."""
        kinds = sorted({call.kind for call in self._running.values()})
        return f"{len(self._running)} running" + (f" ({', '.join(kinds)})" if kinds else "")

    def cells(self) -> dict[str, tuple[int, int, int]]:
        """For each method: number of cells done, of all cells, and of cells with a failed or skipped stage."""
        states: dict[tuple[str, ...], list[str | None]] = defaultdict(list)
        for call in self.calls:
            if call.cell:
                states[call.cell].append(self._ended.get(call.address))
        counted: dict[str, tuple[int, int, int]] = {}
        for (method, *_), ends in states.items():
            done, of, failed = counted.get(method, (0, 0, 0))
            bad = "failed" in ends or "skipped" in ends
            counted[method] = (done + (None not in ends and not bad), of + 1, failed + bad)
        return counted

    def _left(self, slots: int) -> str:
        """The time left, from the kinds of stages that have been timed; ``more than`` where others remain."""
        rest = Counter(call.kind for call in self.calls if call.address not in self._ended)
        known = {kind: statistics.fmean(values) for kind, values in self._seconds.items()}
        seconds = sum(number * known[kind] for kind, number in rest.items() if kind in known)
        if not seconds and rest:
            return "?"
        return ("" if rest.keys() <= known.keys() else "more than ") + clock(seconds / max(1, slots))


def clock(seconds: float) -> str:
    """Format seconds as ``1:02:03`` or ``4:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
