"""``python -m pipeline.tracking``: bring all results of the study in params.yaml into MLflow."""

import sys

from pipeline import params as gate
from pipeline.runtime.errors import UserError
from pipeline.tracking.complete import complete


def main() -> int:
    try:
        params = gate.read()
        count = complete(params)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # whatever a server or a driver raises
        print(f"error: MLflow: {str(error).strip().splitlines()[0][:300]}", file=sys.stderr)
        return 1
    print(f"{count} cells of {params['study']!r} are in MLflow")
    return 0


if __name__ == "__main__":
    sys.exit(main())
