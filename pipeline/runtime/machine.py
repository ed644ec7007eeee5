"""What the machine has."""

import os


def cores() -> int:
    """Cores that this process may use; not all systems (macOS) know more than how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
