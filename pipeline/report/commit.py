"""Which commit the code and params of a result are of."""

import subprocess

#: What can change a number. Lock files aren't among them: they are committed after the results are there.
MADE_OF = ("pipeline", "stages", "cells", "dvc.yaml", "params.yaml", "published")


def commit() -> str:
    """The last commit that changed code or params (12 digits), and whether the files differ; empty without git."""
    found = _git("log", "-1", "--format=%H", "--", *MADE_OF)[:12]
    changed = found and _git("status", "--porcelain", "--untracked-files=no", "--", *MADE_OF)
    return f"{found} with changes" if changed else found


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        return ""
