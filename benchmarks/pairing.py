"""The time of exact pairing: solvers by batch size, AlexNet's steps by quantizer, several cells on one GPU.

    python -m benchmarks.pairing [--quick] [--tables solvers steps packed] [--batches 16 256] [--threads 1]

``solvers`` pairs the codes of small networks, from their first and from their last steps. ``steps`` is Table 2 of the
WR paper on this device. ``packed`` trains several cells at once. It is meaningful only on a GPU, which is idle while
the host of a single cell computes the pairing. The images are digits, enlarged on the device, with noise, so that no
two images are the same.
"""

import argparse
import csv
import importlib.util
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median
from threading import BrokenBarrierError
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import yaml
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from torch import Tensor

from pipeline.assignment import best_assignment, optimal_pairing
from pipeline.encoding.device import choose
from pipeline.params import Params
from pipeline.preparation.arrays import Prepared
from pipeline.quantizers import Quantizer, create, uniform_targets
from pipeline.training import timing
from pipeline.training.loop import Trainer
from pipeline.training.objective import losses
from pipeline.training.timing import finish

Array = npt.NDArray[Any]
Solver = Callable[[Array], Array]
Codes = list[tuple[Tensor, Tensor]]

BATCHES = [16, 32, 64, 128, 256, 512]
QUANTIZERS = ["original", "wr", "swd", "hswd"]
REPEATS = 3
#: Images in an epoch of AlexNet on a GPU, as many as in the paper; on a CPU only enough for a few steps.
IMAGES = 5000
#: Training steps of a small network, and how many of the first and of the last steps are used.
STEPS, KEPT = 120, 5
#: Seconds to wait for the other processes.
PATIENCE = 600


class Asked(NamedTuple):
    """The options of every table."""

    device: torch.device
    threads: int
    quick: bool


def data(images: int) -> Prepared:
    """Digits as RGB images, repeated up to this number, each with different noise."""
    digits = load_digits()
    chosen = np.arange(images) % len(digits.target)
    gray = np.round(digits.images[chosen] * 15)[..., None] + np.random.default_rng(0).integers(0, 12, (images, 8, 8, 3))
    return Prepared(gray.astype(np.uint8), np.eye(10, dtype=np.uint8)[digits.target[chosen]], {})


def params(asked: Asked, train: int, backbone: dict[str, Any], rate: float, quantizers: list[str]) -> Params:
    """params.yaml with the values for the tables; at other learning rates all codes of AlexNet become the same."""
    content: Any = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content["compute"] |= {"device": asked.device.type, "threads": asked.threads}
    content["split"] = {"protocol": "counts", "total": {"query": 10, "validation": 10, "train": train}}
    content["backbone"] = {"weights": "none", "frozen": False, **backbone}
    content["training"]["optimizer"]["learning_rate"] = rate
    content["timing"] = {"bits": 48, "quantizers": quantizers}
    checked: Params = content
    return checked


def milliseconds(call: Callable[[], Any], device: torch.device) -> float:
    finish(device)
    start = time.perf_counter()
    call()
    finish(device)
    return 1000 * (time.perf_counter() - start)


def table(columns: list[str]) -> None:
    print(f"\n| {' | '.join(columns)} |\n|{' ---: |' * len(columns)}")


# Solvers.


class Recorder(Quantizer):
    """Keeps the inputs of ``wr``."""

    def __init__(self, inner: Quantizer) -> None:
        super().__init__()
        self.inner, self.codes = inner, Codes()
        self.own_weight, self.weight, self.input = inner.own_weight, inner.weight, inner.input

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        drawn = uniform_targets(u, targets, generator)
        self.codes.append((u.detach().cpu(), drawn.cpu()))
        term: Tensor = self.inner(u, targets=drawn)
        return term


def recorded(asked: Asked, method: str, batch: int) -> Codes:
    """The relaxed codes and targets of all training steps of a small network."""
    train = 1600
    section = params(asked, train, {"name": "cnn", "input_size": 8}, 0.002, ["wr"])
    (one,) = timing.trainers(section, method, batch, data(1797)).values()
    one.quantizer = recorder = Recorder(one.quantizer)
    for epoch in range(-(-STEPS // one.batches)):
        one.epoch(epoch)
    return recorder.codes


def row_by_row(u: Tensor, targets: Tensor) -> Array:
    """The matrix as in the public implementation: a Python loop over the codes."""
    return torch.stack([(targets - code).norm(dim=1) for code in u]).numpy()


def at_once(u: Tensor, targets: Tensor) -> Array:
    return (u @ targets.T).numpy()


def scipys(gains: Array) -> Array:
    return np.asarray(linear_sum_assignment(-gains)[1])


def installed() -> dict[str, Solver]:
    """SciPy's solver on the unchanged costs, ours, and two solvers of lapx if it is installed."""
    solvers: dict[str, Solver] = {"scipy": scipys, "ours": best_assignment}
    if importlib.util.find_spec("lap"):
        import lap

        solvers["lapjv"] = lambda gains: lap.lapjv(-gains.astype(np.float64), return_cost=False)[0]
        solvers["lapjvc"] = lambda gains: lap.lapjvc(-gains, return_cost=False)[1]
    return solvers


def solved(codes: Codes, solvers: dict[str, Solver]) -> dict[str, float]:
    """Milliseconds of each way to compute the matrix and of each solver: means over batches of the best of a few runs.

    The totals of all solvers must be equal.
    """
    cpu, rows = torch.device("cpu"), []
    for u, targets in codes:
        gains = at_once(u, targets)
        calls: dict[str, Callable[[], Any]] = {
            "row by row": partial(row_by_row, u, targets),
            "at once": partial(at_once, u, targets),
            **{name: partial(solver, gains) for name, solver in solvers.items()},
        }
        turns = [{name: milliseconds(call, cpu) for name, call in calls.items()} for _ in range(REPEATS)]
        rows.append({name: min(turn[name] for turn in turns) for name in calls})
        everyone = np.arange(len(gains))
        totals = {name: gains[everyone, solver(gains)].sum(dtype=np.float64) for name, solver in solvers.items()}
        if np.ptp(list(totals.values())) > 1e-9 * abs(totals["scipy"]):
            raise SystemExit(f"error: the solvers found pairings of {totals}; they must be equally good")
    return {name: mean(row[name] for row in rows) for name in rows[0]}


def solver_table(asked: Asked, batches: list[int]) -> None:
    solvers = installed()
    table(["batch", "codes", "row by row (ms)", "at once (ms)", *(f"{name} (ms)" for name in solvers), "scipy / ours"])
    for batch in batches:
        runs = [recorded(asked, method, batch) for method in ("dsdh", "csq")]
        for name, part in (("first", slice(KEPT)), ("last", slice(-KEPT, None))):
            found = solved([pair for run in runs for pair in run[part]], solvers)
            cells = " | ".join(f"{value:.2f}" for value in found.values())
            print(f"| {batch} | {name} | {cells} | {found['scipy'] / found['ours']:.1f} |", flush=True)


# Steps of AlexNet.


def alexnets(asked: Asked, batch: int, quantizers: list[str]) -> dict[str, Trainer]:
    """Trainers of AlexNet at 224 pixels with each quantizer, ready for the first epoch."""
    train = IMAGES if asked.device.type == "cuda" and not asked.quick else batch * max(1, 64 // batch)
    section = params(asked, train, {"name": "alexnet", "input_size": 224}, 0.0001, quantizers)
    return timing.trainers(section, "dsdh", batch, data(train + 20))


def step_table(asked: Asked, batches: list[int]) -> None:
    """Print times of whole steps, whose differences are lost in noise on a CPU, and of the pairing alone."""
    steps, over = [f"{name} (ms)" for name in QUANTIZERS], [f"{name} (%)" for name in QUANTIZERS[1:]]
    beside = ["paper's wr (%)", "pairing alone (ms)", "of a step (%)", "similarity and own terms alone (ms)"]
    table(["batch", *steps, *over, *beside])
    for batch in batches:
        ready = alexnets(asked, batch, QUANTIZERS)
        rows = timing.by_turns(ready, 5 if asked.device.type == "cuda" else 2)
        step = {}
        for name, one in ready.items():
            seconds = median(row[2] for row in rows if row[0] == name)
            step[name] = 1000 * seconds * batch / one.epoch_size
        pairing, terms = alone(ready["wr"])
        cells = [f"{step[name]:.2f}" for name in QUANTIZERS]
        cells += [f"{100 * (step[name] / step['original'] - 1):+.1f}" for name in QUANTIZERS[1:]]
        share = 100 * pairing / step["original"]
        cells += [f"{published(batch):.1f}", f"{pairing:.2f}", f"{share:.2f}", f"{terms:.2f}"]
        print(f"| {batch} | {' | '.join(cells)} |", flush=True)


def alone(one: Trainer) -> tuple[float, float]:
    """Milliseconds of a batch's pairing, copies included, and of the losses that a GPU could compute meanwhile."""
    indices = torch.arange(one.batch_size, device=one.device)
    (images,) = one.images.batches([indices])
    with torch.no_grad():
        u = one.network(images)
    batch = (u, one.labels[: one.batch_size], indices)
    codes, original = one.method.relax(u), create("original")
    own = partial(losses, one.method, original, "original", batch, one.of_quantizer)
    pairings, terms = [], []
    for _ in range(2 * KEPT):
        targets = uniform_targets(codes, None, one.of_quantizer)
        pairings.append(milliseconds(partial(optimal_pairing, codes, targets), one.device))
        terms.append(milliseconds(own, one.device))
    return median(pairings), median(terms)


def published(batch: int) -> float:
    """The overhead in Table 2 of the WR paper, in percent."""
    with Path("published/wr-table2-epoch-seconds.csv").open(newline="", encoding="utf-8") as file:
        found = {int(row["batch_size"]): float(row["overhead_percent"]) for row in csv.DictReader(file)}
    return found.get(batch, float("nan"))


# Several cells at once.


def cell(asked: Asked, batch: int, rounds: int, epochs: int, barrier: Any) -> None:
    """One of the processes: trains alternately without and with the pairing, in step with the other processes."""
    try:
        ready = alexnets(asked, batch, QUANTIZERS[:2])
        timing.by_turns(ready, 0)
        for turn in range(rounds):
            for one in ready.values():
                finish(one.device)
                barrier.wait(PATIENCE)
                for epoch in range(epochs):
                    one.epoch(1 + turn * epochs + epoch)
                finish(one.device)
                barrier.wait(PATIENCE)
    except BaseException:
        barrier.abort()  # also ends the other processes, which would wait otherwise
        raise


def together(asked: Asked, cells: int, batch: int) -> tuple[float, float]:
    """Seconds until all cells have trained their epochs, without and with the pairing; medians over the rounds."""
    rounds, epochs = (2, 1) if asked.quick else (5, 4)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(cells + 1)
    processes = [context.Process(target=cell, args=(asked, batch, rounds, epochs, barrier)) for _ in range(cells)]
    for process in processes:
        process.start()
    times: dict[str, list[float]] = {name: [] for name in QUANTIZERS[:2]}
    try:
        for passed in [*times.values()] * rounds:
            barrier.wait(PATIENCE)
            start = time.perf_counter()
            barrier.wait(PATIENCE)
            passed.append(time.perf_counter() - start)
    except BrokenBarrierError:
        raise SystemExit(f"error: one of {cells} cells at once failed, or took too long; see above") from None
    for process in processes:
        process.join()
    return median(times["original"]), median(times["wr"])


def packed_table(asked: Asked, batches: list[int]) -> None:
    table(["cells at once", "batch", "original (s)", "wr (s)", "overhead (%)", "paper's, one cell (%)"])
    for cells in [1, 2] if asked.quick else [1, 2, 4, 8]:
        for batch in batches:
            original, paired = together(asked, cells, batch)
            times = f"{original:.2f} | {paired:.2f} | {100 * (paired / original - 1):+.1f}"
            print(f"| {cells} | {batch} | {times} | {published(batch):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small batches, few steps, two cells at most")
    known = ["solvers", "steps", "packed"]
    parser.add_argument("--tables", nargs="+", choices=known, help="all of them on a GPU, the first two elsewhere")
    parser.add_argument("--batches", nargs="+", type=int, help="16 to 512; packed: 256")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    given = parser.parse_args()
    device = choose({"device": "auto", "precision": "auto", "numerics": "portable", "threads": given.threads}).device
    asked = Asked(device, given.threads, given.quick)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, {given.threads} threads, torch {torch.__version__}, 48 bits")
    tables = given.tables or (known if device.type == "cuda" else known[:2])
    batches = given.batches or ([16, 128] if given.quick else BATCHES)
    if "solvers" in tables:
        solver_table(asked, batches)
    if "steps" in tables:
        step_table(asked, batches)
    if "packed" in tables:
        packed_table(asked, given.batches or [16 if given.quick else 256])


if __name__ == "__main__":
    main()
