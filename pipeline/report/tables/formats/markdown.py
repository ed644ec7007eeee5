"""Tables as Markdown."""

import re

from pipeline.report.tables.formats.lines import line
from pipeline.report.tables.model import Table


def markdown(tables: list[Table], title: str) -> str:
    """The tables as one Markdown document."""
    return f"# {_escape(title)}\n\n" + "\n".join(markdown_table(table) for table in tables)


def markdown_table(table: Table) -> str:
    """One table with its heading and caption."""

    def row(texts: list[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    heads = row([_escape(column.title) for column in table.columns])
    rule = row(["---:" if column.numeric else ":---" for column in table.columns])
    body = [row([_escape(line(value)) for value in values]) for values in table.rows]
    caption = _escape(" ".join(table.caption))
    return "\n".join([f"## {_escape(table.title)}", "", caption, "", heads, rule, *body]) + "\n"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*|\[\]]|<(?=[A-Za-z/!?])|&(?=[#\w]))", r"\\\1", text).replace("\n", " ")
