"""A table as LaTeX: booktabs rules, a caption, a label."""

import re

from pipeline.report.tables.model import NONE, Table, Value

#: Tables with more rows do not fit on a page and become a ``longtable``.
LONG = 40
SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"{'}", "`": r"\textasciigrave{}",
    # after the end of a row, LaTeX reads [ and * as options; it turns doubled hyphens into dashes
    "[": "{[}", "]": "{]}", "*": "{*}", "-": "{-}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "−": "$-$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "β": r"$\beta$",
}  # fmt: skip


def latex(table: Table) -> str:
    """The table as a ``table`` environment, or a ``longtable`` if it has more than ``LONG`` rows.

    The preamble needs ``\\usepackage[T1]{fontenc}`` and ``\\usepackage{booktabs, longtable}``. Non-ASCII characters
    that are not in ``SIGNS`` are written as their code point.
    """
    sides = "".join("r" if column.numeric else "l" for column in table.columns)
    caption = rf"\caption{{{escape(table.title)}. {escape(' '.join(table.caption))}}}"
    label = rf"\label{{tab:{re.sub('[^A-Za-z0-9-]', '-', table.name)}}}"
    heads = _row([escape(column.title) for column in table.columns])
    body = [_row([_value(value) for value in row]) for row in table.rows]
    needs = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs, longtable}"
    if len(table.rows) > LONG:
        head = [rf"\begin{{longtable}}{{{sides}}}", caption, label + r"\\", r"\toprule", heads, r"\midrule"]
        again = [r"\endfirsthead", r"\toprule", heads, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
        inner = [r"{\footnotesize\setlength{\tabcolsep}{3pt}", *head, *again, *body, r"\end{longtable}}"]
    else:
        tabular = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", heads, r"\midrule", *body, r"\bottomrule"]
        opening = [r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}", caption, label]
        inner = [*opening, *tabular, r"\end{tabular}", r"\end{table}"]
    return "\n".join([needs, *inner]) + "\n"


def escape(text: str) -> str:
    """Escape ``text`` so that LaTeX prints it literally."""
    return "".join(SIGNS.get(sign, sign if " " <= sign <= "~" else _other(sign)) for sign in text)


def _other(sign: str) -> str:
    return " " if sign.isspace() else f"{{[}}U+{ord(sign):04X}{{]}}"


def _row(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"


def _value(value: Value) -> str:
    text = escape(value.text)
    if value.data is not None and value.text != NONE:
        text = text.replace("{-}", "$-$")
    deviation = rf" $\pm$ {escape(value.spread.text)}" if value.spread else ""
    return text + deviation + "$^{*}$" * value.star + (f" ({escape(value.note)})" if value.note else "")
