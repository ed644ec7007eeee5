"""The gate that every stage passes first: params.yaml, checked whole.

It can refuse a file but never changes a value, fills none in and converts none, so it is the one room
that no stage names among its code dependencies: an edit here can't change a result.
"""

from pipeline.params.check import check, read

__all__ = ["check", "read"]
