"""The main loop of a sweep: submit ready stages to Ray, and put finished ones into DVC's cache."""

import heapq
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.cluster import Cluster, Died
from pipeline.operations.sweep.dvc import objects
from pipeline.operations.sweep.dvc.objects import Entry
from pipeline.operations.sweep.dvc.workspace import State, Workspace
from pipeline.operations.sweep.exchange import Place
from pipeline.operations.sweep.progress import Progress
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

#: A stage with more inputs than this reads those of all cells, as `aggregate` does.
MANY = 16


@dataclass
class Summary:
    """The result of a sweep.

    Args:
        counts: number of stages for each end: ``current``, ``restored``, ``run``, ``failed``, ``skipped``.
        failures: for each failed stage: its address, the last lines of its log, and the log's path ("" for none).
    """

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failures: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    def __str__(self) -> str:
        said = [
            f"{self.counts[how]:,} {what}"
            for how, what in [
                ("run", "stages run"),
                ("restored", "restored from the run cache"),
                ("current", "up to date"),
                ("failed", "failed"),
                ("skipped", "not run because of them"),
            ]
            if self.counts[how] or how == "run"
        ]
        lines = []
        for address, error, log in self.failures:
            lines += [f"{address} failed" + (f", log: {log}" if log else "")] + [f"    {line}" for line in error]
        return "\n".join([*lines, "; ".join(said)])


class Sweep:
    """Runs the out-of-date stages of a workspace, each as soon as the stages that it depends on are done.

    Use it in a ``with`` block. Finished stages are written to the lock files when the block ends, also after an error.
    If the process is killed before that, the next sweep or `dvc repro` restores them from the run cache.
    """

    def __init__(self, workspace: Workspace, cluster: Cluster, progress: Progress) -> None:
        self.workspace, self.cluster, self.progress = workspace, cluster, progress
        self.calls = {stage: workspace.call(stage) for stage in workspace.stages}
        self.place = {stage: position for position, stage in enumerate(workspace.stages)}
        self.summary = Summary()
        self._waits_for = {stage: set(workspace.upstream(stage)) & self.place.keys() for stage in workspace.stages}
        self._needed_by: dict[PipelineStage, list[PipelineStage]] = defaultdict(list)
        for stage, upstream in self._waits_for.items():
            for one in upstream:
                self._needed_by[one].append(stage)
        # In the order of `dvc repro`, which finishes a cell before it begins the next.
        self._ready = [self.place[stage] for stage, upstream in self._waits_for.items() if not upstream]
        heapq.heapify(self._ready)
        self._running: dict[Any, PipelineStage] = {}
        self._unwritten: list[PipelineStage] = []
        self._sent: set[str] = set()
        self._whole_gpu: set[PipelineStage] = set()

    def __enter__(self) -> "Sweep":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.cluster.cancel(list(self._running))
            self.cluster.close()
        finally:
            self.workspace.record(self._unwritten)
            self.progress.close()

    def run(self) -> Summary:
        """Run all out-of-date stages. If a stage fails, only the stages that depend on it are skipped."""
        while self._ready or self._running:
            room, slots = self.cluster.room(), self.cluster.slots()
            while self._ready and len(self._running) < room:
                self._begin(self.workspace.stages[heapq.heappop(self._ready)])
                self.progress.show(slots)
                if self._running and self.cluster.wait(list(self._running), 0):
                    break
            if self._running:
                for reference in self.cluster.wait(list(self._running), 0.5):
                    self._finish(reference)
            self.progress.show(slots)
        self.progress.show(1, now=True)
        return self.summary

    def _begin(self, stage: "PipelineStage") -> None:
        try:
            state = self.workspace.begin(stage)
        except UserError as error:
            self._failed(stage, (str(error),))
            return
        if state is State.DUE:
            self._submit(stage)
        elif state is State.RESTORED:
            self._unwritten.append(stage)
            self._done(stage, "restored")
        else:
            self._done(stage, "current")

    def _submit(self, stage: "PipelineStage") -> None:
        call = self.calls[stage]
        self.cluster.start()
        try:
            inputs, here = self._inputs(stage)
        except UserError as error:
            self._failed(stage, (str(error),))
            return
        reference = self.cluster.submit(call, inputs, here=here, whole_gpu=stage in self._whole_gpu)
        self._running[reference] = stage
        self.progress.started(call)

    def _inputs(self, stage: "PipelineStage") -> tuple[list[Entry], bool]:
        """Push a stage's inputs for hosts that don't share the folder.

        Returns:
            the inputs, and whether the stage has to run on this host: an input is not in the cache, or there are so
            many that copying them takes longer than the stage.
        """
        remote = self.cluster.place.remote
        if remote is None:
            return [], False
        inputs = objects.entries(stage, self.workspace.made(stage))
        if len(inputs) > MANY or not all(objects.in_cache(self.workspace.repo, entry) for entry in inputs):
            return [], True
        new = [entry for entry in inputs if entry["md5"] not in self._sent]
        objects.push(self.workspace.repo, remote, new)
        self._sent.update(entry["md5"] for entry in new)
        return inputs, False

    def _finish(self, reference: Any) -> None:
        stage = self._running.pop(reference)
        call = self.calls[stage]
        try:
            outcome = self.cluster.result(call, reference)
            if outcome.out_of_memory and stage not in self._whole_gpu:
                self._whole_gpu.add(stage)
                self._submit(stage)
                return
            if outcome.error:
                self._failed(stage, outcome.error, outcome.log)
                return
            if outcome.outs:
                assert self.cluster.place.remote
                objects.fetch(self.workspace.repo, self.cluster.place.remote, list(outcome.outs))
                self._sent.update(entry["md5"] for entry in outcome.outs)
            self.workspace.finish(stage)
        except (Died, UserError) as error:
            self._failed(stage, (str(error),))
            return
        self._unwritten.append(stage)
        self._done(stage, "run", outcome.seconds)

    def _done(self, stage: "PipelineStage", how: str, seconds: float | None = None) -> None:
        self._count(stage, how, seconds)
        for other in self._needed_by[stage]:
            upstream = self._waits_for.get(other)  # None: the stage is skipped
            if upstream is None:
                continue
            upstream.discard(stage)
            if not upstream:
                heapq.heappush(self._ready, self.place[other])

    def _failed(self, stage: "PipelineStage", error: tuple[str, ...], log: str = "") -> None:
        self.summary.failures.append((stage.addressing, error, log))
        self._count(stage, "failed")
        behind = list(self._needed_by[stage])
        while behind:
            other = behind.pop()
            if self._waits_for.pop(other, None) is not None:
                self._count(other, "skipped")
                behind += self._needed_by[other]

    def _count(self, stage: "PipelineStage", how: str, seconds: float | None = None) -> None:
        self.summary.counts[how] += 1
        self.progress.ended(self.calls[stage], how, seconds)


def preview(workspace: Workspace) -> str:
    """What a sweep would run, and why: one line for each out-of-date stage, then their number."""
    due: set[PipelineStage] = set()
    lines = []
    for stage in workspace.stages:
        behind = [one for one in workspace.upstream(stage) if one in due]
        if behind:
            more = f" and {len(behind) - 1} more" if len(behind) > 1 else ""
            why = f"after {behind[0].addressing}{more}"
        else:
            reasons = workspace.reasons(stage)
            if not reasons:
                continue
            why = "; ".join(reasons)
            if workspace.restorable(stage):
                why += " (the run cache has it)"
        due.add(stage)
        lines.append(f"{stage.addressing}: {why}")
    return "\n".join([*lines, f"{len(lines):,} of {len(workspace.stages):,} stages are out of date"])


def place_of(workspace: Workspace, *, no_shared_folder: bool) -> Place:
    """How workers reach this workspace. Creates the token, by which a host detects that it shares the folder.

    Args:
        workspace: the opened workspace; DVC's lock is held.
        no_shared_folder: treat every host as one that doesn't share the folder.
    """
    from dvc.config import NoRemoteError

    repo = workspace.repo
    token = Path(repo.tmp_dir) / "sweep" / f"{time.time_ns():x}"
    token.parent.mkdir(parents=True, exist_ok=True)
    for left in token.parent.iterdir():  # from killed sweeps: only one sweep at a time holds DVC's lock
        if left.name != "logs":
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    token.touch()
    try:
        remote = repo.cloud.get_remote().name
    except NoRemoteError:
        remote = None
    config = {"remote": {name: dict(values) for name, values in repo.config["remote"].items()}}
    return Place(str(workspace.root), str(token), str(token.parent / "logs"), remote, config, no_shared_folder)
