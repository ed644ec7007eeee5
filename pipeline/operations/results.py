"""The results table for a terminal, with pointers to the report and MLflow."""

from pipeline.aggregation.study import outdated
from pipeline.params import Params
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Layout


def table(params: Params) -> str:
    """Return the study's results table, with pointers to the report and MLflow.

    Raises:
        UserError: the table has not been made yet.
    """
    layout = Layout(params["study"])
    report = layout.report
    try:
        results = (report / "results.txt").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not there yet; run `dvc repro`") from None
    if reason := outdated(params, layout):
        results += f"\nThis table is not up to date: {reason}; run `dvc repro`\n"
    return f"\n{results}\nReport:  {report / 'index.html'}\nMLflow:  `make ui` opens `mlflow ui` on these runs"
