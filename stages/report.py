"""report: one page with tables and figures; also completes the study's MLflow runs."""

from pipeline import report
from pipeline.operations import tracking
from pipeline.params import Params
from pipeline.report.commit import commit
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout) -> None:
    with layout.atomic_output(layout.report) as target:
        report.write(layout.tables, target, commit())
    tracking.complete_or_say_how(params)


STAGE = stage(main)

if __name__ == "__main__":
    STAGE.main()
