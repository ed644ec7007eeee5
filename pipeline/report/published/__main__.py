"""``python -m pipeline.report.published``: print which published numbers have one of ours beside them."""

import sys
from pathlib import Path

from pipeline.report.published.coverage import coverage
from pipeline.runtime.entry import Params, command


def counted(_: Params) -> str:
    return coverage(Path())


if __name__ == "__main__":
    sys.exit(command(counted))
