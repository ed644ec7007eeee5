"""Store inputs and outputs in DVC's cache, and copy them to and from a remote."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.dvc.errors import in_a_line
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

#: One dependency or output in a lock file: its path, MD5, size and number of files.
Entry = dict[str, Any]


def entries(stage: "PipelineStage", wanted: "Iterable[Dependency]") -> list[Entry]:
    """The lock file entries of a stage's dependencies.

    Args:
        stage: the stage.
        wanted: those of its dependencies to return.

    Returns:
        an entry for each, with its path relative to the project's root. For a folder that contains the outputs of other
        stages, which isn't an object of the cache itself, the entries of these outputs.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    root, trie, found = stage.repo.root_dir, stage.repo.index.outs_trie, []
    listed = {entry["path"]: entry for entry in to_single_stage_lockfile(stage).get("deps", [])}
    for dep in wanted:
        key = dep.fs.parts(dep.fs_path)
        if not trie.has_subtrie(key):
            found.append({**listed[dep.def_path], "path": os.path.relpath(dep.fs_path, root)})
            continue
        for out in trie.itervalues(prefix=key):
            outs = {entry["path"]: entry for entry in to_single_stage_lockfile(out.stage).get("outs", [])}
            found.append({**outs[out.def_path], "path": os.path.relpath(out.fs_path, root)})
    return found


def in_cache(repo: "Repo", found: Entry) -> bool:
    """Whether DVC's cache has this object; it doesn't have outputs with ``cache: false``."""
    return bool(repo.cache.local.exists(found["md5"]))


def keep(repo: "Repo", paths: Iterable[str]) -> list[Entry]:
    """Hash outputs and put them into the cache, as DVC does after a stage. Any process may do so without DVC's lock.

    Returns:
        their lock file entries.

    Raises:
        UserError: an output is missing.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    stage = _outputs(repo, [{"path": path, "hash": "md5"} for path in paths])
    with in_a_line(stage):
        for out in stage.outs:
            out.save()
            out.commit()
    return list(to_single_stage_lockfile(stage).get("outs", []))


def push(repo: "Repo", remote: str, given: list[Entry]) -> None:
    """Copy objects that a remote lacks from the cache to the remote.

    Raises:
        UserError: an object couldn't be copied.
    """
    _transfer(repo, remote, given, repo.cloud.push)


def fetch(repo: "Repo", remote: str, given: list[Entry]) -> None:
    """Copy objects from a remote to the cache, and check them out at their paths.

    Raises:
        UserError: an object couldn't be copied or checked out.
    """
    _transfer(repo, remote, given, repo.cloud.pull)
    stage = _outputs(repo, given)
    with in_a_line(stage):
        for out in stage.outs:
            out.checkout(force=True)


def _transfer(repo: "Repo", remote: str, given: list[Entry], how: Any) -> None:
    stage = _outputs(repo, given)
    with in_a_line(stage):
        for out in stage.outs:
            for objects in out.get_used_objs(remote=remote).values():
                if failed := how(objects, remote=remote).failed:
                    raise UserError(f"remote {remote!r}: {len(failed)} objects of {out} couldn't be copied")


def _outputs(repo: "Repo", given: list[Entry]) -> "PipelineStage":
    """A temporary stage, in no dvc.yaml, with these outputs. DVC's run cache restores outputs the same way."""
    from dvc.stage import PipelineStage, create_stage
    from dvc.stage.loader import StageLoader

    paths = [entry["path"] for entry in given]
    stage = create_stage(PipelineStage, repo=repo, path="dvc.yaml", cmd="none", wdir=None, outs=paths)
    stage.name = "exchanged"
    StageLoader.fill_from_lock(stage, {"outs": given})
    return stage
