"""What git says of the checkout."""

import subprocess


def output(*arguments: str) -> str:
    """What `git <arguments>` prints in the current folder, stripped; empty if git fails or is missing."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        return ""
