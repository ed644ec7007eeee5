"""The project's DVC stages: find out-of-date stages, begin and finish them, and write the lock files."""

import enum
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.call import Call
from pipeline.operations.sweep.dvc import writing
from pipeline.operations.sweep.dvc.errors import dvc_exception, in_a_line
from pipeline.operations.sweep.dvc.memory import Memory, links_open
from pipeline.runtime.errors import UserError
from pipeline.runtime.provenance import differences

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from networkx import DiGraph


class State(enum.Enum):
    """State of a stage after all stages that it depends on are done."""

    CURRENT = "up to date"
    RESTORED = "restored"
    DUE = "to run"


class Workspace:
    """The project's DVC stages. Use it only while DVC's lock is held (``opened``).

    Dependencies must stay as they were when the sweep began. params.yaml is read once. A stage whose code was edited
    since then is refused, because a worker may have imported either version.

    Args:
        repo: the DVC repository.
        targets: as for `dvc repro`; empty means all of dvc.yaml.
        memory: the caches in use.
    """

    def __init__(self, repo: "Repo", targets: list[str], memory: "Memory") -> None:
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        self.repo = repo
        self._memory = memory
        self._sources: dict[str, bool] = {}
        memory.is_source = self._is_source
        self.root = Path(repo.root_dir)
        self._graph: DiGraph = get_active_graph(repo.index.graph)
        #: All stages that `dvc repro` would check, in its order.
        self.stages: list[PipelineStage] = plan_repro(self._graph, collect_stages(repo, targets or ["dvc.yaml"]))
        self._begun_with = {
            dep.fs_path: _hash(dep) for stage in self.stages for dep in stage.deps if self._on_disk(dep)
        }

    def upstream(self, stage: "PipelineStage") -> list["PipelineStage"]:
        """The stages that must be done before this one."""
        return list(self._graph.successors(stage))

    def made(self, stage: "PipelineStage") -> "list[Dependency]":
        """The stage's dependencies that are outputs of other stages."""
        return [dep for dep in stage.deps if dep.hash_name != "params" and not self._is_source(dep)]

    def begin(self, stage: "PipelineStage") -> State:
        """Do what `dvc repro` does before a stage's command.

        Check the stage. If it is out of date, remove its outputs and try to restore them from the run cache.

        Returns:
            the stage's state; the caller has to run it if it is ``DUE``.

        Raises:
            UserError: a dependency is missing, or was edited since the sweep began.
        """
        from dvc.stage.cache import RunCacheNotFoundError

        self._memory.next_stage()
        with in_a_line(stage):
            if stage.frozen or not stage.cmd:
                return State.RESTORED if stage.reproduce() else State.CURRENT
            if not stage.changed():
                return State.CURRENT
            self._refuse_edits(stage)
            stage.remove_outs(ignore_remove=False, force=False)
            try:
                # Before save_deps: restore compares the dependencies in the lock file with the present ones.
                self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                stage.save_deps()
                return State.DUE
            stage.save()
            stage.commit()
            return State.RESTORED

    def finish(self, stage: "PipelineStage") -> None:
        """Do what `dvc repro` does after a stage's command, except for the lock file: hashes, cache, run cache.

        Raises:
            UserError: an output is missing, or a dependency was edited since the sweep began.
        """
        self._memory.next_stage()
        for dep in stage.deps:
            # The only input that a stage may change is a folder of several outputs: it removes what left the grid.
            if self.repo.index.outs_trie.has_subtrie(dep.fs.parts(dep.fs_path)):
                self._memory.forget(dep)
        with in_a_line(stage):
            self._refuse_edits(stage)
            stage.save()
            stage.commit()

    def record(self, done: "Iterable[PipelineStage]") -> None:
        """Write stages to their lock files. Each file is replaced atomically."""
        place = {stage: position for position, stage in enumerate(self.stages)}
        by_file: dict[str, list[PipelineStage]] = {}
        for stage in sorted(done, key=place.__getitem__):
            by_file.setdefault(stage.path, []).append(stage)
        for path, stages in by_file.items():
            lock = Path(path).with_suffix(".lock")
            aside = lock.with_name("dvc.lock.partial")
            aside.write_text(self._locked(lock, stages), encoding="utf-8")
            os.replace(aside, lock)
            self.repo.scm_context.track_file(os.path.relpath(lock))

    def _locked(self, lock: Path, stages: "list[PipelineStage]") -> str:
        """A lock file's text with these stages in it."""
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import parse_yaml, parse_yaml_for_update

        before = lock.read_text(encoding="utf-8") if lock.exists() else ""
        content = parse_yaml(before, str(lock)) or {"schema": "2.0"}
        if before and writing.dumps(content) != before:
            content = parse_yaml_for_update(before, str(lock))  # edited by hand: keep comments and style
        for stage in stages:
            content.setdefault("stages", {}).update(to_lockfile(stage))
        return writing.dumps(content)

    def reasons(self, stage: "PipelineStage") -> list[str]:
        """Why a stage is out of date, as far as is known before the stages that it depends on are done.

        Returns:
            one text per reason; empty if it is up to date.
        """
        if not any(out.hash_info for out in stage.outs):
            return ["it has never run"]
        found = ["its command changed"] if stage.changed_stage() else []
        for dep in stage.deps:
            for name, status in dep.status().items():
                found += _of_params(dep, status) if isinstance(status, dict) else [f"{name} is {status}"]
        for out in stage.outs:
            found += [f"{name} is {status}" for name, status in out.status().items()]
        return found

    def restorable(self, stage: "PipelineStage") -> bool:
        """Whether the run cache has the stage's outputs for its present dependencies."""
        runs = self.repo.stage_cache
        try:
            stage.save_deps()
            known = runs._load(stage)
            return bool(known) and runs._create_stage(known, wdir=stage.wdir).outs_cached()
        except dvc_exception():
            return False

    def call(self, stage: "PipelineStage") -> Call:
        """The stage in a form that can be sent to a worker."""
        commands = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
        return Call(
            address=stage.addressing,
            commands=tuple(commands),
            wdir=os.path.relpath(stage.wdir, self.root),
            outs=tuple(os.path.relpath(out.fs_path, self.root) for out in stage.outs),
            on_device=bool((stage.meta or {}).get("on_device")),
            exclusive=bool((stage.meta or {}).get("exclusive")),
        )

    def _is_source(self, dep: "Dependency") -> bool:
        """Whether the dependency is not a stage output, contains none, and is not inside one."""
        if dep.hash_name == "params":
            return False
        known = self._sources.get(dep.fs_path)
        if known is None:
            trie, key = self.repo.index.outs_trie, dep.fs.parts(dep.fs_path)
            known = self._sources[dep.fs_path] = not (trie.has_node(key) or trie.shortest_prefix(key))
        return known

    def _on_disk(self, dep: "Dependency") -> bool:
        """Whether the dependency is a source that exists as a local file or folder."""
        return bool(self._is_source(dep) and dep.exists and dep.protocol == "local")

    def _refuse_edits(self, stage: "PipelineStage") -> None:
        for dep in stage.deps:
            begun = self._begun_with.get(dep.fs_path) if dep.hash_name != "params" else None
            if begun is not None and dep.exists and _hash(dep) != begun:
                raise UserError(f"{stage.addressing}: {dep} was edited while the sweep ran; sweep again")


@contextmanager
def opened(targets: list[str]) -> Iterator[Workspace]:
    """Open the workspace of the current folder, and hold DVC's lock during the block.

    Args:
        targets: as for `dvc repro`; empty means all of dvc.yaml.

    Raises:
        UserError: DVC rejects dvc.yaml or the targets, or another DVC command is running.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # its errors are raised as exceptions, too
    memory = Memory()
    try:
        with memory.in_use(), Repo() as repo:
            try:
                repo.lock.lock()
            except LockError:
                raise UserError("another DVC command or sweep is running in this workspace; wait for it") from None
            try:
                with links_open(repo), repo.scm_context(quiet=True):
                    yield Workspace(repo, targets, memory)
            finally:
                repo.lock.unlock()
    except dvc_exception() as error:
        raise UserError(" ".join(str(error).split())) from error


def _hash(dep: "Dependency") -> Any:
    """A dependency's hash, of the kind that DVC saves.

    DVC first assigns its version 2 hash (``md5-dos2unix``) to a dependency that isn't in the lock file, and changes it
    to version 3's when saving. It does the same for a changed dependency with a version 2 hash.
    """
    dep.update_legacy_hash_name()
    return dep.get_hash()


def _of_params(dep: "Dependency", status: dict[str, str]) -> list[str]:
    """A line such as ``methods.dsdh.mu: 0.1 -> 0.2`` for every value that differs from the lock file."""
    before, now = dep.hash_info.value or {}, dep.read_params()
    return [line for key in status for line in differences(before.get(key), now.get(key), key)]
