"""The report's tables, one module each; ``papers/``: the layouts of the two papers; ``formats/``: file formats."""

from pipeline.report.source import Source
from pipeline.report.tables import papers
from pipeline.report.tables.balance import balance
from pipeline.report.tables.batch_size import batch_size
from pipeline.report.tables.cells import cells
from pipeline.report.tables.formats import markdown, plain, write_files
from pipeline.report.tables.informativeness import informativeness
from pipeline.report.tables.metrics import metrics
from pipeline.report.tables.missing import missing_cells
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.protocol import protocol
from pipeline.report.tables.results import results
from pipeline.report.tables.summary import summary
from pipeline.report.tables.timing import timing
from pipeline.report.tables.tuning import tuning, tuning_curve

__all__ = ["Column", "Table", "Value", "build", "markdown", "plain", "write_files"]


def build(source: Source) -> list[Table]:
    """All tables of the report that have rows, in page order."""
    tables = [results(source), summary(source), missing_cells(source), metrics(source)]
    tables += papers.build(source)
    tables += [balance(source), informativeness(source), tuning(source), tuning_curve(source)]
    tables += [batch_size(source), timing(source), cells(source), protocol(source)]
    return [table for table in tables if table.rows]
