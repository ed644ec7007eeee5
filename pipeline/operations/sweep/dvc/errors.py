"""Errors of DVC as messages of one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from dvc.stage import PipelineStage


@contextmanager
def in_a_line(stage: "PipelineStage") -> Iterator[None]:
    """Turn errors of DVC or the file system in the block into a UserError that names the stage."""
    try:
        yield
    except (dvc_exception(), OSError) as error:
        raise UserError(f"{stage.addressing}: {' '.join(str(error).split())}") from error


def dvc_exception() -> type[Exception]:
    """The base class of DVC's exceptions, imported on demand."""
    from dvc.exceptions import DvcException

    found: type[Exception] = DvcException
    return found
