"""params.yaml: its schema, the check that runs before every stage, and how it is written from a study.

The check can reject a file, but it never changes, fills in or converts a value: what stages get is the file's content,
whose keys the type checker knows from the schema (``Params`` and its sections). An edit here can't change a result, so
no stage in dvc.yaml depends on this package.
"""

from pipeline.params.check import check, read
from pipeline.params.schema import Params

__all__ = ["Params", "check", "read"]
