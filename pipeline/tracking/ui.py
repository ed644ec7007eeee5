"""``python -m pipeline.tracking.ui [PORT]``: MLflow's pages on this project's store, and where its runs are."""

import os
import socket
import sys

from pipeline import params as gate
from pipeline.runtime.entry import complain
from pipeline.runtime.errors import UserError
from pipeline.tracking import place

PORT = "5000"


def runs(address: str, experiment: str) -> str:
    """The page of a study's runs; MLflow would show its side for language models first."""
    return f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def main() -> int:
    try:
        port = int((sys.argv[1:] or [PORT])[0])
        _serve(gate.read()["study"], port)
    except ValueError as error:
        complain(error if isinstance(error, UserError) else UserError(f"ui: expected a port, found {sys.argv[1]!r}"))
        return 1
    return 0


def _serve(study: str, port: int) -> None:
    from pipeline.tracking.store import opened

    experiment = opened(study, place.uri()).experiment
    if not place.uri().startswith(place.SQLITE):
        print(f"the runs are on your server: {runs(place.shown(), experiment)}")
        return
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"ui: port {port} is taken; try `python -m pipeline.tracking.ui {port + 1}`")
    print(f"open {runs(f'http://127.0.0.1:{port}', experiment)}  (Ctrl-C ends it)", flush=True)
    # Variables that MLflow's processes are to have are set by the store's module.
    os.execv(
        sys.executable,
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", place.uri(), "--port", str(port)],
    )


if __name__ == "__main__":
    sys.exit(main())
