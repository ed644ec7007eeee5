"""The commit of the code and params that made a result."""

from pipeline.runtime import git

#: Paths whose content can change a result. Lock files are excluded because they are committed after the results.
MADE_OF = ("pipeline", "stages", "cells/*/dvc.yaml", "dvc.yaml", "params.yaml", "published")


def commit() -> str:
    """The last commit that changed code or params.

    Returns:
        the first 12 digits of its hash, followed by `` with changes`` if tracked files differ from it; empty without
        git.
    """
    found = git.output("log", "-1", "--format=%H", "--", *MADE_OF)[:12]
    changed = found and git.output("status", "--porcelain", "--untracked-files=no", "--", *MADE_OF)
    return f"{found} with changes" if changed else found
