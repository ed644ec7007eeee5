"""Where a worker finds the project: in the same folder as the driver, or by way of the DVC remote."""

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


#: Bytes of outputs from which a worker hashes them and puts them into the cache itself.
WORTH_IT = 4 * 2**20


@dataclass(frozen=True)
class Place:
    """The driver's project, and how to reach it.

    Args:
        root: the project's folder there.
        token: a file in it that exists while the sweep runs; a host that sees it shares the folder.
        logs: the folder that stages' output goes to, where the project is.
        remote: name of the DVC remote that other hosts exchange inputs and outputs through.
        config: DVC's settings there (``remote`` and ``cache`` sections), for hosts that have no copy.
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
    """Go to the project: the driver's folder where it is shared, else this worker's copy of the code.

    Returns:
        whether the folder is shared.

    Raises:
        UserError: it isn't, and there is no remote.
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
    """Bring a stage's inputs here, where the folder isn't shared."""
    from filelock import FileLock

    if not shared and place.remote:
        with FileLock(".exchange.lock"):  # of this host's workers, which have one copy of the project
            absent = [entry for entry in inputs if _taken.get(entry["path"]) != entry["md5"]]
            objects.fetch(_repo(place, shared), place.remote, absent)
            _taken.update({entry["path"]: entry["md5"] for entry in absent})


def give(call: Call, place: Place, *, shared: bool) -> list[Entry]:
    """Put a stage's outputs into the cache, and into the remote where the driver has no other way to them.

    Returns:
        what the driver has to fetch: nothing where the folder is shared.
    """
    if shared and _size(call.outs) < WORTH_IT:
        return []  # the driver has hashed so little before it could look the hashes up
    repo = _repo(place, shared)
    made = objects.keep(repo, call.outs)
    if shared or not place.remote:
        return []
    objects.push(repo, place.remote, made)
    return made


def _size(paths: Iterable[str]) -> int:
    """Bytes of these files and folders, links not followed."""
    files = (file for path in paths for file in (Path(path), *Path(path).rglob("*")))
    return sum(file.lstat().st_size for file in files if file.is_file())


#: path -> MD5 of the inputs that are here already
_taken: dict[str, str] = {}


#: folder -> DVC there, opened once a worker
_repos: "dict[str, Repo]" = {}


def _repo(place: Place, shared: bool) -> "Repo":
    """DVC in this worker; where the folder isn't shared, with the driver's remotes and without git."""
    from dvc.repo import Repo

    here = os.getcwd()
    if here not in _repos:
        _repos[here] = Repo(config=None if shared else {**place.config, "core": {"no_scm": True}})
    return _repos[here]
