"""Run a stage in a worker of the sweep, as a function call in a long-lived process.

A worker keeps the modules that its earlier stages imported and the data that they opened.
"""

import gc
import importlib
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.operations.sweep import exchange
from pipeline.operations.sweep.call import Call
from pipeline.operations.sweep.dvc.objects import Entry
from pipeline.operations.sweep.exchange import Place
from pipeline.params import Params
from pipeline.runtime import entry
from pipeline.runtime.errors import UserError

#: Number of lines of a failed stage's log in the summary.
TAIL = 6
#: GPU memory of a process in bytes that torch doesn't count.
CONTEXT = 700 * 2**20


@dataclass(frozen=True)
class Outcome:
    """The result of a stage.

    Args:
        error: the last lines of its log if it failed, else empty.
        log: path of its log.
        host: name of the host it ran on.
        seconds: its duration in the worker, without the driver's work.
        share: its peak share of the GPU's memory; 0 if it used none.
        out_of_memory: whether it ran out of GPU memory.
        outs: its outputs, if the driver has to fetch them (``exchange``).
    """

    error: tuple[str, ...]
    log: str
    host: str
    seconds: float
    share: float = 0.0
    out_of_memory: bool = False
    outs: tuple[Entry, ...] = ()


def run(call: Call, params: Params, place: Place, inputs: list[Entry]) -> Outcome:
    """Run a stage in the project's folder, or in this host's copy of it.

    Args:
        call: the stage.
        params: params.yaml as read by the driver.
        place: where the project is (``exchange``).
        inputs: the stage's inputs, fetched if the project's folder isn't shared.
    """
    begun, host = time.perf_counter(), socket.gethostname()
    try:
        shared = exchange.enter(place)
    except UserError as refused:
        return Outcome((str(refused),), "", host, 0.0)
    log = (Path(place.logs) if shared else Path("logs").absolute()) / f"{call.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    error: BaseException | None = None
    with _into(log):
        try:
            exchange.take(place, inputs, shared=shared)
            _execute(call, params)
            outs = exchange.give(call, place, shared=shared)
        except (Exception, SystemExit) as raised:
            error = raised
            _complain(raised)
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    if error is None and not any(lines):
        log.unlink()
    return Outcome(
        error=tuple([line.rstrip() for line in lines if line.strip()][-TAIL:]) if error else (),
        log=str(log) if shared else f"{host}:{log}",
        host=host,
        seconds=time.perf_counter() - begun,
        share=_share() if call.on_device else 0.0,
        out_of_memory=type(error).__name__ == "OutOfMemoryError",
        outs=tuple(outs) if error is None else (),
    )


def _execute(call: Call, params: Params) -> None:
    os.environ["DVC_STAGE"] = call.address  # as `dvc repro` sets it
    if call.module is None:
        for command in call.commands:
            subprocess.run(command, shell=True, cwd=call.wdir, check=True, stdin=subprocess.DEVNULL)
        return
    name, arguments = call.module
    if name not in sys.modules:
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
        gc.disable()  # as stages/__init__.py does for a stage that runs as a script
        try:
            importlib.import_module(name)
            gc.freeze()
        finally:
            gc.enable()
    if call.on_device:
        _choose_device()
    sys.modules[name].STAGE.call(params, arguments)


def _choose_device() -> None:
    """Select the GPU that Ray assigned. All GPUs are visible, so a worker can switch between them."""
    import ray
    import torch

    if torch.cuda.is_available():
        ids = [str(one) for one in ray.get_gpu_ids()]
        torch.cuda.set_device(gpu_index(ids, os.environ.get("CUDA_VISIBLE_DEVICES")))
        torch.cuda.reset_peak_memory_stats()


def gpu_index(ids: list[str], visible: str | None) -> int:
    """Index of the assigned GPU among the visible ones.

    Args:
        ids: ids of the GPUs that Ray assigned; the first is used. Empty gives index 0.
        visible: value of ``CUDA_VISIBLE_DEVICES``; None or empty if all GPUs are visible.
    """
    if not ids:
        return 0
    return visible.split(",").index(ids[0]) if visible else int(ids[0])


def _share() -> float:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0.0
    needed = torch.cuda.max_memory_reserved() + CONTEXT
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    return float(needed / total)


def _complain(error: BaseException) -> None:
    if isinstance(error, UserError):
        entry.complain(error)
    elif isinstance(error, subprocess.CalledProcessError):
        entry.complain(UserError(f"`{error.cmd}` exited with {error.returncode}"))
    else:
        traceback.print_exception(error)


@contextmanager
def _into(log: Path) -> Iterator[None]:
    """Redirect the output of this process and its children to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(stream) for stream in (1, 2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for stream in (1, 2):
            os.dup2(file, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, stream)
            os.close(kept)
        os.close(file)
