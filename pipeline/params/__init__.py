"""params.yaml: what it may say, checked whole before every stage; and how a study writes it.

A check can refuse a file but never changes a value, fills none in and converts none. So no stage names this package
among its dependencies: an edit here can't change a result.
"""

from pipeline.params.check import check, read

__all__ = ["check", "read"]
