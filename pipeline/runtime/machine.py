"""What the machine has."""

import getpass
import os
import tempfile
from pathlib import Path


def cores() -> int:
    """Cores that this process may use; not all systems (macOS) know more than how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def have_a_home() -> None:
    """Give this process and its children a name and a home where the user has none, as in a container.

    DVC, MLflow and Matplotlib keep settings in a home, DVC writes the user's name down, and all fail without.
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
