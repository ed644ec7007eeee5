"""``python -m pipeline.sweep [TARGET ...]``: run what is out of date, in parallel."""

import argparse
import gc
import signal
import sys
from pathlib import Path
from typing import Any

from pipeline import params as gate
from pipeline.runtime.entry import complain, not_allowed, said
from pipeline.runtime.errors import UserError
from pipeline.runtime.machine import have_a_home
from pipeline.sweep import sweep
from pipeline.sweep.cluster import Cluster
from pipeline.sweep.dvc import workspace
from pipeline.sweep.progress import Progress


def main() -> int:
    given = _parsed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    have_a_home()
    try:
        params = gate.read()
        _check(given)
        with workspace.opened(given.targets) as opened:
            if given.dry_run:
                return said(sweep.preview(opened))
            summary = _run(opened, params, given)
    except UserError as error:
        complain(error)
        return 1
    except PermissionError as error:
        complain(not_allowed(error))
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was done is kept, `make sweep` or `dvc repro` goes on from there", file=sys.stderr)
        return 130
    said(str(summary))
    return 1 if summary.failures else 0


def _run(opened: workspace.Workspace, params: dict[str, Any], given: argparse.Namespace) -> sweep.Summary:
    section = params["sweep"]
    workers, share = given.workers or section["workers"], given.gpu_share or section["gpu_share"]
    place = sweep.place_of(opened, apart=given.apart)
    try:
        gc.freeze()  # DVC's graph stays; going through it again and again takes a tenth of the driver's time
        progress = Progress([opened.call(stage) for stage in opened.stages])
        with sweep.Sweep(opened, Cluster(place, params, workers, share), progress) as begun:
            return begun.run()
    finally:
        Path(place.token).unlink(missing_ok=True)


def _check(given: argparse.Namespace) -> None:
    if given.workers is not None and given.workers < 1:
        raise UserError(f"--workers must be at least 1, found {given.workers}")
    if given.gpu_share is not None and not 0 < given.gpu_share <= 1:
        raise UserError(f"--gpu-share must be above 0 and at most 1, found {given.gpu_share}")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="as for `dvc repro`; all of dvc.yaml unless given")
    parser.add_argument("--dry-run", action="store_true", help="list what would run, and why it is out of date")
    parser.add_argument("--workers", type=int, help="stages at a time on this machine (params: sweep.workers)")
    parser.add_argument("--gpu-share", type=float, help="part of a GPU that a cell gets (params: sweep.gpu_share)")
    parser.add_argument("--apart", action="store_true", help="exchange files by the DVC remote, whatever is shared")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
