"""``python -m pipeline.tracking``: bring all results of the study in params.yaml into MLflow."""

import sys

from pipeline.runtime.entry import Params, command
from pipeline.runtime.errors import UserError
from pipeline.tracking.complete import complete


def track(params: Params) -> str:
    try:
        count = complete(params)
    except UserError:
        raise
    except Exception as error:  # whatever a server or a driver raises
        raise UserError(f"MLflow: {str(error).strip().splitlines()[0][:300]}") from None
    return f"{count} cells of {params['study']!r} are in MLflow"


if __name__ == "__main__":
    sys.exit(command(track))
