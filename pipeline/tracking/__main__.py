"""``python -m pipeline.tracking``: bring all results of the study in params.yaml into MLflow."""

from pipeline.runtime.entry import Params, command
from pipeline.runtime.errors import UserError
from pipeline.tracking.complete import complete, reason
from pipeline.tracking.patience import leave


def track(params: Params) -> str:
    try:
        tracked = complete(params)
    except Exception as error:  # whatever a server or a driver raises
        raise UserError(
            f"MLflow: {reason(error)}; results are kept: start the server or check MLFLOW_TRACKING_URI, then run this "
            "again"
        ) from None
    said = f"{tracked.cells} cells of {params['study']!r} are in MLflow"
    left = f"; {tracked.outdated} more have results of other params or code, `dvc repro` renews them"
    return said + (left if tracked.outdated else "")


if __name__ == "__main__":
    leave(command(track))
