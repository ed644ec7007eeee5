"""Paths that a user gives in params.yaml."""

import os
from pathlib import Path


def project() -> Path:
    """The project's folder, also for a stage of `dvc exp run --temp` or `--queue`, which runs in a copy of it.

    DVC sets ``DVC_ROOT`` for every stage, and to the project rather than the copy for an experiment
    (DVC's manual, "dvc exp run", environment variables).
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def given(path: str) -> Path:
    """Where a path of params.yaml leads: from this folder or, where nothing is there, from the project's.

    A copy of the project has no files that git ignores.
    """
    place = Path(path).expanduser()
    return place if place.is_absolute() or place.exists() else project() / place
