"""``make track``: log all results of the study in params.yaml to MLflow."""

from pipeline.operations.tracking.complete import complete, reason
from pipeline.params import Params
from pipeline.runtime.errors import UserError


def track(params: Params) -> str:
    """Log the results that MLflow doesn't have yet.

    Returns:
        a summary with the number of cells in MLflow.

    Raises:
        UserError: MLflow can't be reached.
    """
    try:
        tracked = complete(params)
    except Exception as error:  # a server or a driver may raise anything
        raise UserError(
            f"MLflow: {reason(error)}; results are kept: start the server or check MLFLOW_TRACKING_URI, then run this "
            "again"
        ) from None
    said = f"{tracked.cells} cells of {params['study']!r} are in MLflow"
    left = f"; {tracked.outdated} more have results of other params or code, `dvc repro` renews them"
    return said + (left if tracked.outdated else "")
