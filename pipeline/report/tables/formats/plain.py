"""A table as plain text for a terminal."""

import textwrap

from pipeline.report.tables.formats.lines import line
from pipeline.report.tables.model import Table


def plain(table: Table, title: str) -> str:
    """The title, aligned columns, then the caption."""
    heads = [column.title for column in table.columns]
    body = [[" ".join(line(value).split("\n")) for value in row] for row in table.rows]
    for place in range(len(heads)):
        if any(row[place].star for row in table.rows):  # align numbers with and without a star
            for texts, row in zip(body, table.rows, strict=True):
                texts[place] += " " * (not row[place].star)
    widths = [max(map(len, texts)) for texts in zip(heads, *body, strict=True)]
    sides = [f"{'>' if c.numeric else '<'}{w}" for c, w in zip(table.columns, widths, strict=True)]

    def spaced(texts: list[str]) -> str:
        return "  ".join(map(str.format, ["{:" + side + "}" for side in sides], texts)).rstrip()

    caption = textwrap.wrap(" ".join(table.caption), width=max(60, min(100, sum(widths))))
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, "", spaced(heads), rule, *map(spaced, body), "", *caption]) + "\n"
