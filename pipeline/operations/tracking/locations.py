"""Addresses of the tracking store and the workspace, from the environment. Doesn't import MLflow, which is slow."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.paths import project

#: The tracking store if MLFLOW_TRACKING_URI is not set.
DEFAULT_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
#: Prefixes of network stores. A folder of files, MLflow's oldest kind of store, is not supported: it has no lock.
SERVERS = ("http://", "https://", "postgresql://", "postgresql+psycopg://", "mysql://", "mysql+pymysql://")


def in_a_copy() -> bool:
    """Whether this is a queued or temporary DVC experiment, whose results are not those of the workspace."""
    return project() != Path.cwd()


def experiment() -> str | None:
    """The name of the running DVC experiment, if DVC sets it (``DVC_EXP_NAME``)."""
    return os.environ.get("DVC_EXP_NAME") or None


def uri() -> str:
    """The tracking store's address. A relative path of an SQLite file is relative to the project's folder.

    Raises:
        UserError: MLFLOW_TRACKING_URI is not supported, or the SQLite file's path has an apostrophe.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if not given.startswith((SQLITE, *SERVERS)):
        raise UserError(
            f"MLFLOW_TRACKING_URI: expected {SQLITE}<file>, or an address of {', '.join(SERVERS)}; found {shown(given)}"
        )
    if not given.startswith(SQLITE):
        return given
    file = project() / given.removeprefix(SQLITE)
    if "'" in str(file):
        raise UserError(
            f"MLflow can't make an SQLite store where the path has an apostrophe: {file}; rename the folder"
        )
    return f"{SQLITE}{file}"


def shown(address: str | None = None) -> str:
    """An address without credentials, for messages.

    Args:
        address: the address or a text; None means the tracking store's address.
    """
    return hidden(uri() if address is None else address)


def empty() -> bool:
    """Whether the store is an SQLite file that doesn't exist yet."""
    return uri().startswith(SQLITE) and not Path(uri().removeprefix(SQLITE)).exists()


def artifacts(study: str) -> str | None:
    """Address of a study's artifacts for an SQLite store; None for a server, which chooses it itself."""
    return (_beside() / "mlruns" / study).as_uri() if uri().startswith(SQLITE) else None


def workspace() -> str:
    """The host and folder of this checkout, since several checkouts may share a server."""
    return f"{socket.gethostname()}:{project()}"


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """Hold a lock that excludes other processes of this checkout or with this SQLite file.

    Processes on other machines aren't excluded; ``Store.settle`` removes the duplicate runs that they may log.

    Args:
        what: the lock's name.
    """
    with FileLock(_beside() / f"mlflow.db.{what}.lock"):
        yield


def _beside() -> Path:
    return Path(uri().removeprefix(SQLITE)).parent if uri().startswith(SQLITE) else project()
