"""Where runs go and on whose behalf, from the environment: no MLflow in here, so it costs nothing to ask."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.paths import project

#: Where runs go unless MLFLOW_TRACKING_URI says otherwise.
DEFAULT_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
#: Stores that are reached over a network. A folder of files, MLflow's oldest kind, isn't taken: it has no lock.
SERVERS = ("http://", "https://", "postgresql://", "postgresql+psycopg://", "mysql://", "mysql+pymysql://")


def in_a_copy() -> bool:
    """Whether this is a queued or temporary experiment: its results are not those of the workspace."""
    return project() != Path.cwd()


def experiment() -> str | None:
    """The name of the DVC experiment that runs, where DVC says it (``DVC_EXP_NAME``)."""
    return os.environ.get("DVC_EXP_NAME") or None


def uri() -> str:
    """The tracking store; an SQLite file with a relative path lies in the project's folder."""
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
    """The tracking store's address, or another, without what stands before an ``@``."""
    return hidden(uri() if address is None else address)


def empty() -> bool:
    """Whether there is no store yet: an SQLite file that no one has made."""
    return uri().startswith(SQLITE) and not Path(uri().removeprefix(SQLITE)).exists()


def artifacts(study: str) -> str | None:
    """Where an SQLite store keeps a study's artifacts; None leaves it to the server."""
    return (_beside() / "mlruns" / study).as_uri() if uri().startswith(SQLITE) else None


def workspace() -> str:
    """Which checkout on which machine: several may share a server."""
    return f"{socket.gethostname()}:{project()}"


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """Wait until no other process of this checkout, or on this SQLite file, does the same.

    Processes on other machines aren't held off: what they may do twice is settled by ``Store.settle``.
    """
    with FileLock(_beside() / f"mlflow.db.{what}.lock"):
        yield


def _beside() -> Path:
    return Path(uri().removeprefix(SQLITE)).parent if uri().startswith(SQLITE) else project()
