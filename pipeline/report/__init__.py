"""The report: one self-contained page, Markdown and plain-text tables, figures."""

from pipeline.report.page import write

__all__ = ["write"]
