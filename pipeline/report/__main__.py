"""``python -m pipeline.report``: print the results table, and where to look further."""

import sys

from pipeline import params as gate
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Layout


def main() -> int:
    try:
        report = Layout(gate.read()["study"]).report
        table = (report / "results.txt").read_text(encoding="utf-8")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print(f"error: {error.filename}: not there yet; run `dvc repro`", file=sys.stderr)
        return 1
    print(f"\n{table}\nReport:  {report / 'index.html'}\nMLflow:  `make ui` opens `mlflow ui` on these runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
