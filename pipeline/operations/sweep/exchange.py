"""How a worker reaches the project: in the driver's folder if it is shared, else through the DVC remote."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.call import Call
from pipeline.operations.sweep.dvc import objects
from pipeline.operations.sweep.dvc.objects import Entry
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo


#: From this size in bytes on, a worker hashes and caches outputs itself; below it, the driver does.
WORTH_IT = 4 * 2**20


@dataclass(frozen=True)
class Place:
    """The driver's project, and how workers reach it.

    Args:
        root: the project's folder on the driver's host.
        token: a file in this folder that exists while the sweep runs; a host that sees it shares the folder.
        logs: the folder for logs of stages, on hosts that share the project's folder.
        remote: name of the DVC remote through which other hosts exchange inputs and outputs.
        config: the driver's DVC settings (section ``remote``), for hosts that don't share the folder.
        no_shared_folder: treat every host as one that doesn't share the folder.
    """

    root: str
    token: str
    logs: str
    remote: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    no_shared_folder: bool = False

    @property
    def shared(self) -> bool:
        """Whether this host sees the driver's folder."""
        return not self.no_shared_folder and Path(self.token).is_file()


def enter(place: Place) -> bool:
    """Change to the driver's folder if it is shared; otherwise stay in this worker's copy of the code.

    Returns:
        whether the folder is shared.

    Raises:
        UserError: the folder isn't shared and no default remote is set up.
    """
    shared = place.shared
    if shared:
        os.chdir(place.root)
    elif place.remote is None:
        raise UserError(
            f"host {socket.gethostname()} doesn't see {place.root}: share that folder, or name a default DVC remote "
            "(docs/scaling.md)"
        )
    os.environ["DVC_ROOT"] = os.getcwd()
    return shared


def take(place: Place, inputs: list[Entry], *, shared: bool) -> None:
    """Fetch a stage's inputs from the remote, if the folder isn't shared."""
    from filelock import FileLock

    if not shared and place.remote:
        with FileLock(".exchange.lock"):  # the workers of a host use the same copy of the project
            absent = [entry for entry in inputs if _taken.get(entry["path"]) != entry["md5"]]
            objects.fetch(_repo(place, shared), place.remote, absent)
            _taken.update({entry["path"]: entry["md5"] for entry in absent})


def give(call: Call, place: Place, *, shared: bool) -> list[Entry]:
    """Put a stage's outputs into the cache and, if the folder isn't shared, push them to the remote.

    Returns:
        the outputs that the driver has to fetch; empty if the folder is shared.
    """
    if shared and _size(call.outs) < WORTH_IT:
        return []  # the driver hashes small outputs faster than it would look up their hashes
    repo = _repo(place, shared)
    made = objects.keep(repo, call.outs)
    if shared or not place.remote:
        return []
    objects.push(repo, place.remote, made)
    return made


def _size(paths: Iterable[str]) -> int:
    """Total size in bytes of these files and folders; links are not followed."""
    files = (file for path in paths for file in (Path(path), *Path(path).rglob("*")))
    return sum(file.lstat().st_size for file in files if file.is_file())


#: path -> MD5 of the inputs that this worker has already fetched
_taken: dict[str, str] = {}


#: folder -> its DVC repository, opened once per worker
_repos: "dict[str, Repo]" = {}


def _repo(place: Place, shared: bool) -> "Repo":
    """The DVC repository of the current folder; if it isn't shared, with the driver's remotes and without git."""
    from dvc.repo import Repo

    here = os.getcwd()
    if here not in _repos:
        _repos[here] = Repo(config=None if shared else {**place.config, "core": {"no_scm": True}})
    return _repos[here]
