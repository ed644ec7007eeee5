"""What the tests of losses share: batches, methods in the middle of an epoch, and scalars for plain loops."""

import inspect
import math
import re
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pipeline import methods
from pipeline.methods import Method
from pipeline.params.schema import TRAINING_FREE

# On tensors this small a second thread helps nothing, and takes the core of pytest's other worker.
torch.set_num_threads(1)

#: Methods whose losses read labels, and those whose losses don't.
TRAINED, UNSUPERVISED = (
    [
        name
        for name in methods.names()
        if name not in TRAINING_FREE and (methods.kind(name).supervision == "labels") == yes
    ]
    for yes in (True, False)
)

BITS = 16
CLASSES = 4

#: Labels of batches that a loss must survive. Each is also the whole training set, the hardest case for a bank.
BATCHES: dict[str, Tensor] = {
    "single-label": torch.eye(CLASSES)[[0, 1, 2, 3, 0, 1]],
    "multi-label": torch.tensor(
        [[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]],
    ),
    "one image": torch.eye(CLASSES)[[2]],
    "one class": torch.eye(CLASSES)[[1, 1, 1, 1]],
    "no similar pair": torch.eye(CLASSES),
}


# Numbers.


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def outputs(n: int = 16, bits: int = 8, seed: int = 0) -> Tensor:
    """(n, bits) normal float64."""
    return torch.randn(n, bits, generator=seeded(seed), dtype=torch.float64)


def signs(n: int = 16, bits: int = 8, seed: int = 1) -> Tensor:
    """(n, bits) of -1/+1, float64."""
    return 2.0 * torch.randint(0, 2, (n, bits), generator=seeded(seed)).double() - 1


# Methods.


def create(name: str, labels: Tensor, *, bits: int = BITS, **hyperparameters: Any) -> Method:
    """The method called ``name`` for a training set with these labels."""
    torch.manual_seed(0)  # a method's own parameters may be drawn from the global generator
    sizes = {"code_length": bits, "num_classes": labels.shape[1], "num_train": len(labels)}
    return methods.create(name, **sizes, **hyperparameters)


def started(name: str, case: str) -> tuple[Method, Tensor, Tensor, Tensor]:
    """A method in its first epoch, as the loop would have it, and one of ``BATCHES``: u, labels, indices."""
    labels = BATCHES[case]
    u = outputs(len(labels), BITS).float()
    method = create(name, labels)
    method.prime(u, labels)
    method.start_epoch(0)
    return method, u, labels, torch.arange(len(labels))


AMethod = TypeVar("AMethod", bound=Method)


class Made(NamedTuple, Generic[AMethod]):
    """A primed float64 method with its training set, and a batch whose outputs are others by now."""

    method: AMethod
    first: Tensor
    every_label: Tensor
    u: Tensor
    labels: Tensor
    indices: Tensor


def made(
    kind: type[AMethod],
    *,
    n: int = 12,
    classes: int = 4,
    bits: int = 6,
    batch: int = 5,
    multi: bool = True,
    seed: int = 0,
    **hyperparameters: Any,
) -> Made[AMethod]:
    """A method of this class after ``prime``; ``multi`` gives images of one to all classes, else of one each."""
    torch.manual_seed(seed)
    method = kind(code_length=bits, num_classes=classes, num_train=n, **hyperparameters).double()
    # Some beyond -1 and 1, where a relaxation may end.
    first, later = 1.3 * outputs(n, bits, 3 * seed), 1.3 * outputs(batch, bits, 3 * seed + 1)
    generator = seeded(3 * seed + 2)
    labels = torch.eye(classes, dtype=torch.float64)[torch.arange(n) % classes]
    if multi:
        labels = torch.maximum(labels, (torch.rand(n, classes, generator=generator) < 0.3).double())
    indices = torch.randperm(n, generator=generator)[:batch]
    method.prime(first, labels)
    method.start_epoch(0)
    return Made(method, first, labels, later, labels[indices], indices)


def stored(first: Tensor, u: Tensor, indices: Tensor) -> list[list[float]]:
    """Rows of a bank that was filled with ``first`` and has a batch's outputs since."""
    bank = first.clone()
    bank[indices] = u
    return rows(bank)


def a_lone_image_costs_nothing(kind: type[Method]) -> None:
    """Where images of a batch are compared with each other alone: no loss and no gradient."""
    method, _, _, u, labels, indices = made(kind, batch=1)
    u.requires_grad_()
    loss = method.similarity_loss(u, labels, indices)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert u.grad is not None and not u.grad.any()


# Scalars, so that an equation can be written as the paper has it.


def rows(x: Tensor) -> list[list[float]]:
    found: list[list[float]] = x.detach().double().tolist()
    return found


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def sign_of(x: float) -> float:
    return 1.0 if x >= 0 else -1.0


def overlap(a: list[float], b: list[float]) -> bool:
    """Whether two images share a label."""
    return any(x > 0 and y > 0 for x, y in zip(a, b, strict=True))


def transport_cost(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Squared Wasserstein-2 distance of two samples on a line, by optimal transport rather than by sorting."""
    cost = (a[:, None] - b[None, :]) ** 2
    return float(cost[linear_sum_assignment(cost)].mean())


# What a registered class asks for and promises.


def hyperparameters(kind: type[nn.Module]) -> dict[str, Any]:
    """The keyword-only arguments of a method or quantizer, with their annotations."""
    found = inspect.signature(kind).parameters
    return {name: p.annotation for name, p in found.items() if p.kind is p.KEYWORD_ONLY}


def wrong_values(annotation: Any) -> list[Any]:
    """Values that no hyperparameter with this annotation may have."""
    return ["nonsense", None] + ([-1, math.nan] if hasattr(annotation, "__metadata__") else [])


def is_tested(folder: str, name: str) -> bool:
    """Whether ``tests/<folder>/test_<name>.py`` is there and holds a test."""
    file = Path(__file__).parent / folder / f"test_{name}.py"
    return file.exists() and re.search(r"^def test_", file.read_text(encoding="utf-8"), re.MULTILINE) is not None
