"""MLflow's web interface for this project's runs."""

import os
import socket
import sys

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError


def runs(address: str, experiment: str) -> str:
    """The URL of a study's runs. Without ``workflowType``, MLflow opens its pages for language models.

    Args:
        address: the server's address.
        experiment: the study's experiment id.
    """
    return f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def serve(study: str, port: int) -> str:
    """Show the address of a study's runs. For an SQLite store, replace this process by an MLflow server.

    Args:
        study: the study's name.
        port: the port of the MLflow server.

    Returns:
        a message with the address on the user's server; does not return for an SQLite store.

    Raises:
        UserError: the port is taken.
    """
    from pipeline.operations.tracking.store import opened

    experiment = opened(study, locations.uri()).experiment
    if not locations.uri().startswith(locations.SQLITE):
        return f"the runs are on your server: {runs(locations.shown(), experiment)}"
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"ui: port {port} is taken; try `python -m pipeline ui {port + 1}`")
    print(f"open {runs(f'http://127.0.0.1:{port}', experiment)}  (Ctrl-C ends it)", flush=True)
    # The environment variables for MLflow's processes are set on import of store.py.
    os.execv(
        sys.executable,
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", locations.uri(), "--port", str(port)],
    )
