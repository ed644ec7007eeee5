"""The command line of a sweep."""

import gc
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.operations.sweep import sweep
from pipeline.operations.sweep.cluster import Cluster
from pipeline.operations.sweep.dvc import workspace
from pipeline.operations.sweep.progress import Progress
from pipeline.params import Params
from pipeline.params import read as read_params
from pipeline.runtime.entry import exit_code, said
from pipeline.runtime.machine import have_a_home


def run(
    targets: list[str], *, dry_run: bool, workers: int | None, gpu_share: float | None, no_shared_folder: bool
) -> int:
    """Run all out-of-date stages in parallel, and print a summary.

    Args:
        targets: as for ``dvc repro``; empty means all of dvc.yaml.
        dry_run: only print which stages would run, and why.
        workers: number of parallel stages on this machine; overrides params.yaml.
        gpu_share: share of a GPU for a stage that computes on it, in (0, 1]; overrides params.yaml.
        no_shared_folder: exchange files through the DVC remote even if hosts share the project's folder.

    Returns:
        the exit code.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    have_a_home()

    def swept() -> int:
        params = read_params()
        with workspace.opened(targets) as opened:
            if dry_run:
                return said(sweep.preview(opened))
            section = params["sweep"]
            cluster = partial(Cluster, workers=workers or section["workers"], share=gpu_share or section["gpu_share"])
            summary = _run(opened, params, cluster, no_shared_folder)
        said(str(summary))
        return 1 if summary.failures else 0

    return exit_code(swept, "interrupted; finished stages are kept, `make sweep` or `dvc repro` continues from there")


def _run(
    opened: workspace.Workspace, params: Params, cluster: Callable[..., Cluster], no_shared_folder: bool
) -> sweep.Summary:
    place = sweep.place_of(opened, no_shared_folder=no_shared_folder)
    try:
        gc.freeze()  # collecting DVC's graph again and again takes a tenth of the driver's time
        progress = Progress([opened.call(stage) for stage in opened.stages])
        with sweep.Sweep(opened, cluster(place, params), progress) as begun:
            return begun.run()
    finally:
        Path(place.token).unlink(missing_ok=True)
