"""MLflow's pages on this project's store, and where its runs are."""

import os
import socket
import sys

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError


def runs(address: str, experiment: str) -> str:
    """The page of a study's runs; MLflow would show its side for language models first."""
    return f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def serve(study: str, port: int) -> str:
    """Where a study's runs are on the user's server; where there is none, become a server for them.

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
    # Variables that MLflow's processes are to have are set by the store's module.
    os.execv(
        sys.executable,
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", locations.uri(), "--port", str(port)],
    )
