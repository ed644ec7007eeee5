"""Inputs and outputs as objects of DVC's cache, and their way to a remote and back."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.dvc.errors import in_a_line
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

#: What a lock file says of one dependency or output: its path, MD5, size and number of files.
Entry = dict[str, Any]


def entries(stage: "PipelineStage", wanted: "Iterable[Dependency]") -> list[Entry]:
    """What the lock file will say of these dependencies, paths from the project's root."""
    from dvc.stage.serialize import to_single_stage_lockfile

    names = {dep.def_path: os.path.relpath(dep.fs_path, stage.repo.root_dir) for dep in wanted}
    listed = to_single_stage_lockfile(stage)["deps"] if names else []
    return [{**entry, "path": names[entry["path"]]} for entry in listed if entry["path"] in names]


def in_cache(repo: "Repo", found: Entry) -> bool:
    """Whether DVC's cache has this as an object; it hasn't where the path is a parent of several outputs."""
    return bool(repo.cache.local.exists(found["md5"]))


def keep(repo: "Repo", paths: Iterable[str]) -> list[Entry]:
    """Hash outputs and put them into the cache, as a stage's end does; from any process, without DVC's lock.

    Raises:
        UserError: the stage has not made one of them.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    stage = _outputs(repo, [{"path": path, "hash": "md5"} for path in paths])
    with in_a_line(stage):
        for out in stage.outs:
            out.save()
            out.commit()
    return list(to_single_stage_lockfile(stage).get("outs", []))


def push(repo: "Repo", remote: str, given: list[Entry]) -> None:
    """Copy objects from the cache to a remote, where it lacks them."""
    _transfer(repo, remote, given, repo.cloud.push)


def fetch(repo: "Repo", remote: str, given: list[Entry]) -> None:
    """Take objects from a remote into the cache, and put them at their paths."""
    _transfer(repo, remote, given, repo.cloud.pull)
    for out in _outputs(repo, given).outs:
        out.checkout(force=True)


def _transfer(repo: "Repo", remote: str, given: list[Entry], how: Any) -> None:
    stage = _outputs(repo, given)
    with in_a_line(stage):
        for out in stage.outs:
            for objects in out.get_used_objs(remote=remote).values():
                if failed := how(objects, remote=remote).failed:
                    raise UserError(f"remote {remote!r}: {len(failed)} objects of {out} couldn't be copied")


def _outputs(repo: "Repo", given: list[Entry]) -> "PipelineStage":
    """A stage that no dvc.yaml has, with these outputs; DVC's run cache restores by the same means."""
    from dvc.stage import PipelineStage, create_stage
    from dvc.stage.loader import StageLoader

    paths = [entry["path"] for entry in given]
    stage = create_stage(PipelineStage, repo=repo, path="dvc.yaml", cmd="none", wdir=None, outs=paths)
    stage.name = "exchanged"
    StageLoader.fill_from_lock(stage, {"outs": given})
    return stage
