"""Update the tracking store to match the result files.

A result that was pulled or restored from DVC's cache was not logged, since no code ran. Test metrics are not logged
when they are computed, since that stage doesn't wait for MLflow. This module logs both for all cells of the study. A
second call changes nothing.
"""

import gc
import multiprocessing
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pipeline.operations.tracking import content, locations
from pipeline.operations.tracking.content import Entry
from pipeline.operations.tracking.patience import beat, bounded
from pipeline.params import Params
from pipeline.runtime.errors import UserError, first_line
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.machine import cores
from pipeline.runtime.provenance import Present

#: Number of runs written to a server in parallel.
AT_ONCE = 8
#: From this number of runs on, more processes are started to write an SQLite file: MLflow writes it itself, and is
#: limited by the CPU.
MANY = 100


@dataclass(frozen=True)
class Tracked:
    """Result of ``complete``.

    Args:
        cells: number of the study's cells that are in MLflow now.
        outdated: number of cells whose results were made with other params or code.
    """

    cells: int
    outdated: int


def complete_or_say_how(params: Params) -> None:
    """Run ``complete``, but only warn if the store can't be reached, since the results are on disk."""
    try:
        complete(params)
    except Exception as error:  # a server or a driver may raise anything
        print(
            f"warning: MLflow could not be completed ({reason(error)}); the results are kept, and "
            "`make track` logs them later",
            file=sys.stderr,
        )


#: Parts of the long messages of MLflow's HTTP client -> short messages.
MEANINGS = {
    "too many 429": "turns requests away (429, too many)",
    "error code 429": "turns requests away (429, too many)",
    "imed out": "doesn't answer in time",
    "onnection refused": "doesn't answer (nothing is there)",
    "Failed to establish": "can't be reached",
    "NameResolution": "has a host name that can't be resolved",
    "Max retries": "can't be reached",
    "Connection aborted": "breaks connections off",
}


def reason(error: Exception) -> str:
    """A short message for an error of a server or a driver."""
    if isinstance(error, UserError):
        return first_line(error)
    for words, meaning in MEANINGS.items():
        if words in str(error) and not locations.uri().startswith(locations.SQLITE):
            return f"{locations.shown()} {meaning}"
    return locations.shown(first_line(error))[:200]


def complete(params: Params) -> Tracked:
    """Log every cell that has results, and the study itself, to the tracking store.

    Cells whose results were made with other params or code than the present ones are not changed: their runs record
    the params and code that were used.

    Raises:
        UserError: the server did not answer in time.
    """
    # The lock is outside `bounded`: waiting for another process of this checkout must not count as a slow server.
    with locations.exclusive("tracking"):
        return bounded(lambda: _complete(params))


def _complete(params: Params) -> Tracked:
    layout = Layout(params["study"])
    cells = [cell for cell in cells_of(params["grid"]) if _evaluated(cell, layout)]
    now = Present(params, layout.folder)
    outdated = [cell for cell in cells if now.why_not(layout.metrics(cell))]
    entries = [content.cell_entry(params, cell, layout) for cell in cells if cell not in outdated]
    if not outdated and not now.why_not(layout.report):
        entries.append(content.study_entry(params, layout))
    _bring_in(params["study"], entries, {cell.name for cell in cells_of(params["grid"])})
    return Tracked(len(cells) - len(outdated), len(outdated))


def _evaluated(cell: Cell, layout: Layout) -> bool:
    return (layout.metrics(cell) / "metrics.json").exists() and (layout.split(cell.seed) / "split.json").exists()


def _bring_in(study: str, entries: list[Entry], cells: set[str]) -> None:
    with ExitStack() as stack:
        # Without a store all runs are missing: start the writers while this process creates the store's tables.
        early = stack.enter_context(_pool(len(entries))) if locations.empty() else None
        # Imported here because MLflow takes seconds to import, and a missing MLflow is only a warning.
        from pipeline.operations.tracking.store import opened

        beat()
        store = opened(study, locations.uri())
        runs = store.runs()
        missing, changed = _to_write(runs, entries)
        _write(study, missing, changed, early or stack.enter_context(_pool(len(missing) + len(changed))))
    runs = store.runs() if missing else runs
    store.settle(runs, {entry.cell: entry.identity for entry in entries})
    store.retire(runs, cells)


def _to_write(runs: list[Any], entries: list[Entry]) -> tuple[list[Entry], list[tuple[str, Entry]]]:
    """Entries without a run, and (run id, entry) of those whose files changed since their run was logged."""
    claimed = {run.data.tags["result_id"]: run for run in runs if "result_id" in run.data.tags}
    missing = [entry for entry in entries if entry.identity not in claimed]
    changed = [
        (claimed[entry.identity].info.run_id, entry)
        for entry in entries
        if entry.identity in claimed and claimed[entry.identity].data.tags.get("files") != entry.files
    ]
    return missing, changed


def _write(study: str, missing: list[Entry], changed: list[tuple[str, Entry]], pool: Executor) -> None:
    from pipeline.operations.tracking.store import provenance

    tags = provenance() if missing else {}
    writing = [pool.submit(_new, study, entry, tags) for entry in missing]
    writing += [pool.submit(_update, study, run_id, entry) for run_id, entry in changed]
    try:
        for written in writing:
            written.result()
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _pool(runs: int) -> Executor:
    """Executor that writes this number of runs."""
    if not locations.uri().startswith(locations.SQLITE):
        return ThreadPoolExecutor(AT_ONCE)
    if runs < MANY:
        return ThreadPoolExecutor(1)
    workers = min(4, cores())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_many_objects)
    for _ in range(workers):  # the pool starts a process only when work is submitted
        pool.submit(_import)
    return pool


def _import() -> None:
    from pipeline.operations.tracking import store  # noqa: F401


def _many_objects() -> None:
    """Collect garbage less often: most objects that MLflow creates for a run are freed at once."""
    gc.set_threshold(100_000, 50, 50)


def _new(study: str, entry: Entry, tags: dict[str, str]) -> None:
    """Create a run for a result that was restored or pulled, or whose training was not logged."""
    from pipeline.operations.tracking.store import opened

    store = opened(study, locations.uri())
    restored = {"restored": "yes"} if entry.history else {}
    run_id = store.start(entry.name, {**entry.tags, **tags, **restored}, entry.begun)
    if entry.data:
        store.made_from(run_id, entry.data)
    _files(store, run_id, entry)
    history = content.history_metrics(entry.history) if entry.history else []
    claim = {**store.claim(entry.identity), "files": entry.files}
    store.log(run_id, [*history, *entry.metrics], entry.params, claim)
    store.finish(run_id, ended=entry.ended)


def _update(study: str, run_id: str, entry: Entry) -> None:
    """Add metrics and files to a run that were computed, or computed again, after training."""
    from pipeline.operations.tracking.store import opened

    store = opened(study, locations.uri())
    _files(store, run_id, entry)
    store.log(run_id, entry.metrics, tags={"files": entry.files})


def _files(store: Any, run_id: str, entry: Entry) -> None:
    for folder, name in entry.artifacts:
        store.artifacts(run_id, folder, name)
