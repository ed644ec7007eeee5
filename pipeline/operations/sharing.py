"""Copy results to and from the default DVC remote.

``share`` corresponds to ``dvc push --run-cache``, ``fetch`` to ``dvc pull --run-cache``. Both do more than DVC 3.67:

- The run cache records the outputs of a stage for earlier params. DVC pushes its entries without the objects they
  refer to, so a colleague who goes back to those params has to train again. Here the objects are copied too.
- DVC takes a folder as complete if its listing (the ``.dir`` object) exists. It never restores a file that the
  remote has lost. Here the existence of every object is checked.
- DVC copies all entries of the run cache each time, one by one. Here only missing entries are copied.

``check`` names the stages with objects that the lock files refer to and the remote lacks.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.params import Params
from pipeline.runtime import git
from pipeline.runtime.errors import UserError, hidden

if TYPE_CHECKING:
    from dvc.data_cloud import Remote
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.hash_info import HashInfo


def share(params: Params) -> str:
    """Push the study's results, and the run cache with the outputs it refers to.

    Returns:
        a summary, with a note on params and lock files that are not committed.

    Raises:
        UserError: no remote is set up, it can't be written to, or results are missing both here and there.
    """
    with _opened() as (repo, remote):
        _copy_runs(repo.cache.legacy, remote.legacy_odb)
        repo.push()
        _transfer(repo.cache.local, remote.odb, _everything(repo, remote))
        said = _all_there(repo, remote, params["study"]) + _without_runs(remote)
    locks = git.output("status", "--porcelain", "--", "params.yaml", "*dvc.lock").splitlines()
    if locks:
        said += f"\nnot committed: {', '.join(line.split()[-1] for line in locks)}; a colleague gets these by git"
    return said


def fetch(params: Params) -> str:
    """Pull the study's results into the workspace, and the outputs that the run cache refers to into the cache.

    Returns:
        a summary.

    Raises:
        UserError: no remote is set up, it can't be read, or it lacks results. In the last case all results that it
            has are pulled first.
    """
    from dvc.exceptions import DownloadError

    with _opened() as (repo, remote):
        _copy_runs(remote.legacy_odb, repo.cache.legacy)
        with suppress(DownloadError):  # it only counts the missing objects; _all_there names them
            repo.fetch()
        _transfer(remote.odb, repo.cache.local, _everything(repo, remote))
        repo.checkout(allow_missing=True)
        return _all_there(repo, remote, params["study"]) + _without_runs(remote)


def check(params: Params) -> str:
    """Check that the remote has everything that the lock files refer to.

    Returns:
        a summary.

    Raises:
        UserError: no remote is set up, it can't be read, or it lacks results. The message has a line for each
            incomplete output.
    """
    with _opened() as (repo, remote):
        return _all_there(repo, remote, params["study"])


def _all_there(repo: "Repo", remote: "Remote", study: str) -> str:
    """Return a summary if the remote is complete; otherwise raise an error that names the incomplete outputs."""
    results = _results(repo, remote)
    wanted = {part for parts in results.values() for part in parts}
    away = _lacking(remote.odb, wanted)
    if not away:
        unrun = len({out.stage.addressing for out in repo.index.outs if not out.hash_info})
        more = f"; {unrun} have not been run yet" if unrun else ""
        return f"remote {remote.name!r} has all {len(results)} results of {study!r} ({len(wanted)} objects){more}"
    lost = _lacking(repo.cache.local, away)
    lines, lacking = [], set()
    for out, parts in results.items():
        if gone := parts & away:
            remedy = "; this machine lacks some, too" if gone & lost else ""
            lacking.add(out.stage.addressing)
            lines.append(f"{out.stage.addressing}: {len(gone)} of {len(parts)} objects of {out} are not there{remedy}")
    lines.append(
        f"remote {remote.name!r} ({_address(remote)}) lacks results of {len(lacking)} of "
        f"{len({out.stage.addressing for out in results})} stages of "
        f"{study!r}, named above: run `make share` where they were made"
    )
    raise UserError("\n".join(lines))


def _results(repo: "Repo", remote: "Remote") -> "dict[Output, set[HashInfo]]":
    """Every output of the params.yaml study in the lock files, with its objects."""
    outs = [out for out in repo.index.outs if out.hash_info and out.use_cache and out.can_push]
    objects = _objects(repo, remote, (out.hash_info for out in outs))
    return {out: objects[out.hash_info] for out in outs}


def _everything(repo: "Repo", remote: "Remote") -> "set[HashInfo]":
    """The objects of the lock files' outputs and of all outputs that the run cache could restore."""
    objects = _objects(repo, remote, {*(out.hash_info for out in _results(repo, remote)), *_restorable(repo)})
    return set().union(*objects.values())


def _restorable(repo: "Repo") -> "Iterator[HashInfo]":
    """The outputs of all entries of the run cache. An entry has the format of a stage in a lock file."""
    import yaml
    from dvc_data.hashfile.hash_info import HashInfo

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in Path(repo.stage_cache.cache_dir).glob("??/*/*"):
        with suppress(yaml.YAMLError, TypeError, KeyError):  # a broken entry, which DVC removes when it reads it
            for out in yaml.load(file.read_text(encoding="utf-8"), loader)["outs"]:
                yield HashInfo("md5", out["md5"])


def _objects(repo: "Repo", remote: "Remote", named: "Iterable[HashInfo]") -> "dict[HashInfo, set[HashInfo]]":
    """The objects of each hash: the object itself and, for a folder listing, the files in the folder.

    Listings that are missing from the local cache are fetched from the remote in one batch. If the remote lacks a
    listing too, the result has only the listing itself.
    """
    from dvc_data.hashfile.transfer import find_tree_by_obj_id

    named, cache = set(named), repo.cache.local
    absent = _lacking(cache, (one for one in named if one.isdir))
    if absent := absent - _lacking(remote.odb, absent):
        hashes = [one.value for one in absent]
        cache.add([remote.odb.oid_to_path(value) for value in hashes], remote.odb.fs, hashes, check_exists=False)
    trees = {one: find_tree_by_obj_id([cache], one) if one.isdir else None for one in named}
    return {one: {one, *(part for _, _, part in tree or ())} for one, tree in trees.items()}


def _lacking(store: "HashFileDB", objects: "Iterable[HashInfo]") -> "set[HashInfo]":
    """The objects that a store lacks. Each one is checked, since a listing may exist without its files."""
    objects = set(objects)
    there = set(store.oids_exist([one.value for one in objects])) if objects else set()
    return {one for one in objects if one.value not in there}


def _transfer(source: "HashFileDB", target: "HashFileDB", objects: "Iterable[HashInfo]") -> None:
    """Copy the objects that the target lacks and the source has."""
    from dvc_data.hashfile.transfer import transfer

    objects = _lacking(target, objects)
    transfer(source, target, objects - _lacking(source, objects), cache_odb=source)


def _copy_runs(source: "HashFileDB", target: "HashFileDB") -> None:
    """Copy the run cache entries that the target lacks: files ``runs/<first 2 characters of key>/<key>/<value>``."""
    from dvc_objects.fs import generic

    root = source.fs.join(source.path, "runs")
    if _on_the_web(source) or _on_the_web(target) or not source.fs.exists(root):
        return
    files = list(source.fs.find(source.fs.ls(root, detail=False)))
    paths = [target.fs.join(target.path, *source.fs.relparts(file, source.path)) for file in files]
    absent = [not there for there in target.fs.exists(paths)]
    if any(absent):
        files, paths = list(compress(files, absent)), list(compress(paths, absent))
        for folder in sorted({target.fs.parent(path) for path in paths}):
            target.makedirs(folder)
        generic.copy(source.fs, files, target.fs, paths)


def _on_the_web(store: "HashFileDB | Remote") -> bool:
    """Whether the store is a plain web server: it can't list files, so DVC keeps no run cache there."""
    from dvc.fs import HTTPFileSystem

    return isinstance(store.fs, HTTPFileSystem)


def _without_runs(remote: "Remote") -> str:
    return "\nwithout the run cache, which a web server can't hold: docs/sharing.md" if _on_the_web(remote) else ""


@contextmanager
def _opened() -> "Iterator[tuple[Repo, Remote]]":
    """Open the repository and its default remote. Errors in the block become a UserError of one line."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with _log() as logged:
        try:
            repo = Repo()
            remote = _default(repo)
        except DvcException as error:
            raise UserError(_in_a_line(error)) from error
        with repo:
            try:
                yield repo, remote
                if logged:
                    raise logged[0]
            except UserError:
                raise
            except KeyboardInterrupt:
                raise UserError("interrupted; start it again, and it goes on where it was") from None
            except Exception as error:  # a server or its driver may raise anything
                reason = _in_a_line(logged[0] if logged else error)
                where = f"remote {remote.name!r} ({_address(remote)})"
                raise UserError(f"{where}: {reason}; see docs/sharing.md, When it fails") from error


def _default(repo: "Repo") -> "Remote":
    from dvc.config import NoRemoteError

    try:
        return repo.cloud.get_remote()
    except NoRemoteError:
        names = ", ".join(repo.config["remote"])
        raise UserError(
            f"no default remote among {names}: name one with `dvc remote default --local NAME`"
            if names
            else "no remote is set up: name one with `dvc remote add --local -d NAME ADDRESS`, a folder or ssh://...; "
            "docs/sharing.md has recipes"
        ) from None


def _address(remote: "Remote") -> str:
    return hidden(str(remote.fs.unstrip_protocol(remote.path)))


def _in_a_line(error: BaseException) -> str:
    return hidden(" ".join(str(error).split()))[:400] or type(error).__name__


@contextmanager
def _log() -> Iterator[list[BaseException]]:
    """Hide DVC's log and collect the exceptions in it. DVC reports a failed copy only in its log."""
    import dvc.logger  # noqa: F401  (its handlers are set up by the import)

    kept: list[BaseException] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                kept.append(record.exc_info[1])

    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects", "asyncssh")]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Keep(logging.ERROR)], False
    try:
        yield kept
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
