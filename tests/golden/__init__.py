"""What every loss gives on fixed inputs, kept in ``losses.json``.

Tests against the papers' equations say that a loss is right; this says that it hasn't moved, by whatever way. All
inputs are raw Philox output, which NumPy keeps the same in all versions: also the targets, the directions of swd,
the noise of jmlh and the parameters that a method would draw, for which torch promises nothing of the kind.

``python -m tests.golden`` writes the file anew and prints what moved.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import methods, quantizers
from pipeline.methods.jmlh import JMLH
from pipeline.quantizers.swd import SWD
from tests.losses import TRAINED

FILE = Path(__file__).parent / "losses.json"
KINDS = ("methods", "quantizers")

#: By kind and name, one number for each entry.
Values = dict[str, dict[str, dict[str, float]]]

N, B, C, K = 12, 5, 4, 12


def uniform(stream: int, *shape: int) -> Tensor:
    """Float64 between -2 and 2, others for each ``stream``."""
    raw = np.random.Philox(key=[2022, stream]).random_raw(math.prod(shape))
    return torch.from_numpy(raw.astype(np.float64) / 2**62 - 2).view(shape)


def labels_of(batch: str) -> Tensor:
    """(N, C): one class each, or some of the others too."""
    one = torch.eye(C, dtype=torch.float64)[torch.arange(N) % C]
    return one if batch == "single-label" else torch.maximum(one, (uniform(0, N, C) > 0.8).double())


def of_method(name: str) -> dict[str, float]:
    """Both losses and the norms of their gradients, in the first epoch and after the hooks between it and the next."""
    found: dict[str, float] = {}
    for batch in ("single-label", "multi-label"):
        labels = labels_of(batch)
        method = methods.create(name, code_length=K, num_classes=C, num_train=N).double()
        if isinstance(method, JMLH):
            method._noise = lambda mean: uniform(40, *mean.shape) / 2  # type: ignore[method-assign]
        with torch.no_grad():
            for stream, parameter in enumerate(method.parameters(), start=100):
                parameter.copy_(uniform(stream, *parameter.shape))
        method.prime(uniform(1, N, K), labels)
        for epoch in (0, 1):
            method.start_epoch(epoch)
            indices = torch.arange(epoch, N, 2)[:B]
            u = uniform(2 + epoch, B, K).requires_grad_()
            for term, loss in (("similarity", method.similarity_loss), ("own term", method.quantization_loss)):
                found |= _with_gradient(f"{batch}, epoch {epoch}, {term}", loss(u, labels[indices], indices), u)
            method.end_epoch(epoch)
    return found


def of_quantizer(name: str) -> dict[str, float]:
    """The term and the norm of its gradient, on two batches of what it reads unless params say otherwise."""
    quantizer = quantizers.create(name)
    if isinstance(quantizer, SWD):
        directions = functional.normalize(uniform(10, K, quantizer.projections), dim=0)
        quantizer._directions = lambda u, generator: directions  # type: ignore[method-assign]
    found: dict[str, float] = {}
    for batch, stream in (("a batch", 20), ("another", 30)):
        u = uniform(stream, B, K).requires_grad_()
        targets = torch.where(uniform(stream + 1, B, K) >= 0, 1.0, -1.0).double()
        given = torch.tanh(u) if quantizer.input == "relaxed" else u
        found |= _with_gradient(batch, quantizer(given, targets=targets), u)
    return found


def measured() -> Values:
    """Every registered method and quantizer, as the code is now."""
    return {
        "methods": {name: of_method(name) for name in TRAINED},
        "quantizers": {name: of_quantizer(name) for name in quantizers.names()},
    }


def kept() -> Values:
    """What the file holds."""
    values: Values = json.loads(FILE.read_text(encoding="utf-8"))
    return values


def changes(old: dict[str, float], new: dict[str, float]) -> list[str]:
    """A line for each entry that is new, gone, or another number than before."""
    lines = []
    for entry in sorted(old | new):
        if entry not in old:
            lines.append(f"{entry}: new, {new[entry]:.9g}")
        elif entry not in new:
            lines.append(f"{entry}: gone, was {old[entry]:.9g}")
        elif not _is_close(old[entry], new[entry]):
            lines.append(f"{entry}: {old[entry]:.9g} -> {new[entry]:.9g}")
    return lines


def updated(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """The new entries; those that another machine's rounding alone would change stay as they are."""
    return {
        entry: old[entry] if entry in old and _is_close(old[entry], value) else value for entry, value in new.items()
    }


def _is_close(old: float, new: float) -> bool:
    # The absolute bound is for terms that are 0.
    return math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-12)


def _with_gradient(entry: str, loss: Tensor, u: Tensor) -> dict[str, float]:
    norm = torch.autograd.grad(loss, u)[0].norm().item() if loss.requires_grad else 0.0
    return {entry: loss.item(), f"{entry}, gradient": norm}
