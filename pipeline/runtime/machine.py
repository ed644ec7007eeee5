"""Facts about the machine: CPU cores, user name, home folder."""

import getpass
import os
import tempfile
from pathlib import Path


def cores() -> int:
    """Number of CPU cores that this process may use; all cores on systems without CPU affinity (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def have_a_home() -> None:
    """Set a user name and a home folder for this process and its children if there is none, as in a container.

    DVC, MLflow and Matplotlib need a home folder for their settings, and DVC needs the user's name. Without them
    they fail.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        folder = Path(tempfile.gettempdir()) / f"home-of-user-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(folder)
