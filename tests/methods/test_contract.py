"""What every registered method inherits or promises; a new one is found here by itself."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import datasets, methods, protocols, quantizers
from pipeline.codes import sign
from pipeline.encoding import device as devices
from pipeline.encoding.network import build
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.preparation.square import square
from pipeline.retrieval import evaluate
from pipeline.runtime.errors import UserError
from pipeline.training.history import History
from pipeline.training.loop import Trainer
from pipeline.training.objective import losses
from pipeline.training.optimization import OPTIMIZERS
from tests.losses import (
    BATCHES,
    BITS,
    CLASSES,
    TRAINED,
    create,
    hyperparameters,
    is_tested,
    outputs,
    seeded,
    started,
    wrong_values,
)
from tests.messages import one_line

every_method = pytest.mark.parametrize("name", TRAINED)
#: Methods that draw codes, others for each position in a batch.
DRAWS = ("jmlh",)
both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def test_every_method_has_a_test_of_its_own() -> None:
    assert [name for name in methods.names() if not is_tested("methods", name)] == []


# Losses.

ONE_EACH = BATCHES["single-label"]

#: Outputs and labels that a loss must survive: the shared batches, and what goes wrong with numbers.
EDGES: dict[str, tuple[Tensor, Tensor]] = {
    **{case: (outputs(len(labels), BITS), labels) for case, labels in BATCHES.items()},
    "all classes": (outputs(5, BITS), torch.ones(5, CLASSES)),
    "no label": (outputs(5, BITS), torch.zeros(5, CLASSES)),
    "all at the origin": (torch.zeros(6, BITS), ONE_EACH),
    "one image at the origin": (torch.zeros(1, BITS), ONE_EACH[:1]),
    "all alike": (outputs(1, BITS).expand(6, BITS), ONE_EACH),
    "far out": (1e2 * outputs(6, BITS), ONE_EACH),
    "very far out": (1e4 * outputs(6, BITS), ONE_EACH),
}


@both_precisions
@pytest.mark.parametrize("case", EDGES)
@every_method
def test_losses_are_finite_numbers_with_a_gradient(name: str, case: str, dtype: torch.dtype) -> None:
    first, labels = EDGES[case]
    n = len(labels)
    others, their_labels = outputs(n, BITS, seed=1).float(), torch.eye(CLASSES)[torch.arange(n) % CLASSES]
    for primed_with, epoch in (("the batch", 0), ("nothing", 3), ("other images", 3)):
        method = create(name, labels)
        if primed_with == "the batch":
            method.prime(first.float(), labels)
        elif primed_with == "other images":
            method.prime(others, their_labels)
        method.start_epoch(epoch)
        u = first.to(dtype).clone().requires_grad_()
        similarity = method.similarity_loss(u, labels, torch.arange(n))
        own = method.quantization_loss(u, labels, torch.arange(n))
        for part in (similarity, own):
            assert part.shape == ()
            assert part.isfinite()
            if part.requires_grad:
                (gradient,) = torch.autograd.grad(part, u, retain_graph=True)
                assert gradient.dtype == dtype
                assert gradient.isfinite().all()
        assert similarity.dtype == own.dtype == torch.float32
        (gradient,) = torch.autograd.grad(similarity, u, retain_graph=True)
        # A method that compares the images of a batch with each other loses nothing where it has nothing to compare.
        if case in BATCHES:
            assert gradient.any() or (similarity == 0 and (n == 1 or name == "dtsh"))

        (similarity + own).backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
        assert method.relax(u).abs().max() <= 1
        method.end_epoch(epoch)
        assert all(buffer.isfinite().all() for buffer in method.buffers())


@both_precisions
@every_method
def test_relaxed_codes_are_in_the_cube(name: str, dtype: torch.dtype) -> None:
    method, u, _, _ = started(name, "single-label")
    relaxed = method.relax(10 * u.to(dtype))
    assert relaxed.shape == u.shape
    assert relaxed.abs().max() <= 1
    assert bool(((relaxed > 0) == (u > 0))[u.abs() > 0.1].all())


@every_method
def test_hooks_can_be_called_epoch_after_epoch(name: str) -> None:
    method, u, labels, indices = started(name, "single-label")
    for epoch in range(3):
        method.start_epoch(epoch)
        loss = method.similarity_loss(u.requires_grad_(), labels, indices)
        method.end_epoch(epoch)
        assert math.isfinite(loss.item())


@every_method
def test_banks_keep_no_graph(name: str) -> None:
    """A bank that held on to a batch's graph would grow with every step."""
    method, u, labels, indices = started(name, "single-label")
    method.similarity_loss(u.requires_grad_(), labels, indices)
    method.end_epoch(0)
    assert not any(buffer.requires_grad for buffer in method.buffers())


@every_method
def test_part_of_the_training_set_is_a_batch(name: str) -> None:
    method, u, labels, _ = started(name, "multi-label")
    indices = torch.tensor([5, 0, 3])
    part = u[indices].requires_grad_()
    total = method.similarity_loss(part, labels[indices], indices)
    total = total + method.quantization_loss(part, labels[indices], indices)
    assert math.isfinite(total.item())


def losses_of_all(name: str, u: Tensor, labels: Tensor) -> list[float]:
    """Both losses of a batch that is the whole training set, in float64."""
    method = create(name, labels, bits=u.shape[1]).double()
    method.prime(u, labels)
    method.start_epoch(0)
    batch = (u, labels, torch.arange(len(u)))
    return [loss(*batch).item() for loss in (method.similarity_loss, method.quantization_loss)]


@pytest.mark.parametrize("name", [name for name in TRAINED if name not in DRAWS])
def test_images_may_be_in_any_order(name: str) -> None:
    u, labels = outputs(12), BATCHES["multi-label"].double().repeat(2, 1)
    order = torch.randperm(12, generator=seeded())
    assert losses_of_all(name, u[order], labels[order]) == pytest.approx(losses_of_all(name, u, labels), abs=1e-9)


@pytest.mark.parametrize(
    "name",
    ["adsh", "dbdh", "dch", "dfh", "dhn", "dpsh", "dsdh", "dsh", "dtsh", "hashcoder", "hashnet", "idhn", "qsmih"],
)
def test_classes_may_be_numbered_in_any_way(name: str) -> None:
    """Where no parameter or center belongs to a class."""
    u, labels = outputs(12), BATCHES["multi-label"].double().repeat(2, 1)
    classes = torch.tensor([2, 0, 3, 1])
    assert losses_of_all(name, u, labels[:, classes]) == pytest.approx(losses_of_all(name, u, labels), abs=1e-9)


# What is refused.

WRONG_SHAPES: dict[str, tuple[tuple[tuple[int, ...], ...], str]] = {
    "u of no batch": (((BITS,), (6, CLASSES), (6,)), f"u must be (b, {BITS}), found shape ({BITS},)"),
    "u of more bits": (((6, BITS + 1), (6, CLASSES), (6,)), f"u must be (b, {BITS}), found shape (6, {BITS + 1})"),
    "u of three dimensions": (((2, 6, BITS), (6, CLASSES), (6,)), f"u must be (b, {BITS}), found shape (2, 6, {BITS})"),
    "labels of more classes": (((6, BITS), (6, CLASSES + 1), (6,)), "labels must be (6, 4) like u and the classes, "),
    "labels of fewer images": (((6, BITS), (5, CLASSES), (6,)), "found shape (5, 4)"),
    "class numbers for labels": (((6, BITS), (6,), (6,)), "found shape (6,)"),
    "indices of fewer images": (((6, BITS), (6, CLASSES), (5,)), "indices must be (6,) like u, found shape (5,)"),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
@every_method
def test_wrong_shapes_are_refused(name: str, case: str) -> None:
    """On a device that holds no values: reading one to check it would make a step wait for the GPU."""
    shapes, message = WRONG_SHAPES[case]
    u, labels, indices = (torch.zeros(shape, device="meta") for shape in shapes)
    with pytest.raises(UserError) as error:
        losses(create(name, ONE_EACH), quantizers.create("none"), "none", (u, labels, indices.long()), seeded())
    one_line(error, message)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UserError) as error:
        create("dsdhh", ONE_EACH)
    one_line(error, "'dsdhh'", "did you mean 'dsdh'?", *methods.names())
    with pytest.raises(UserError, match="unknown method 'adsg'"):
        methods.kind("adsg")


def own_hyperparameters(name: str) -> dict[str, Any]:
    found = hyperparameters(type(create(name, ONE_EACH)))
    return {key: found[key] for key in found if key not in ("code_length", "num_classes", "num_train")}


@every_method
def test_an_unknown_hyperparameter_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        create(name, ONE_EACH, zebra=1.0)
    one_line(error, repr(name), "'zebra'", *own_hyperparameters(name))


@every_method
def test_hyperparameters_out_of_range_are_refused(name: str) -> None:
    for key, annotation in own_hyperparameters(name).items():
        for value in wrong_values(annotation):
            with pytest.raises(UserError) as error:
                create(name, ONE_EACH, **{key: value})
            one_line(error, repr(name), key, repr(value))


# Learning.


class Free:
    """Outputs that are parameters themselves, trained as the loop trains a network's."""

    def __init__(self, name: str, *, own_term: bool, rate: float) -> None:
        self.labels = torch.eye(10)[torch.arange(200) % 10]
        self.u = torch.nn.Parameter(0.1 * outputs(200, 32).float())
        self.own_term = own_term
        self.method = create(name, self.labels, bits=32)
        self.method.prime(self.u.detach(), self.labels)
        self.optimizer = OPTIMIZERS["adam"]([self.u, *self.method.parameters()], lr=rate)

    def loss(self, indices: Tensor) -> Tensor:
        batch = (self.u[indices], self.labels[indices], indices)
        similarity = self.method.similarity_loss(*batch)
        return similarity + self.method.quantization_loss(*batch) if self.own_term else similarity

    def step(self, indices: Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


@pytest.mark.parametrize("own_term", [False, True], ids=["similarity alone", "with the own term"])
@every_method
def test_free_outputs_are_separated_by_class(name: str, own_term: bool) -> None:
    """Without a network between the loss and the outputs, it must solve retrieval."""
    free, order = Free(name, own_term=own_term, rate=0.05), seeded()
    # DSH first moves all images apart, and similar ones together only when the others have their margin.
    for epoch in range(120 if name == "dsh" else 40):
        free.method.start_epoch(epoch)
        for indices in torch.randperm(200, generator=order).view(-1, 50):
            free.step(indices)
        free.method.end_epoch(epoch)
    codes, labels = sign(free.u.detach().numpy()), free.labels.numpy()
    assert evaluate(codes, labels, codes, labels).mean_average_precision > 0.99


@every_method
def test_one_step_reduces_the_loss(name: str) -> None:
    free, everything = Free(name, own_term=True, rate=0.02), torch.arange(200)
    before = free.loss(everything).item()
    free.step(everything)
    assert free.loss(everything).item() < before


@pytest.fixture(scope="module")
def digits() -> tuple[Prepared, Split]:
    dataset = datasets.create("digits", path=None)
    images = np.stack([square(dataset.image(row), 8) for row in range(len(dataset.ids))])
    data = Prepared(images, dataset.labels, {})
    counts = {"query": 10, "validation": 5, "train": 10}
    return data, protocols.create("counts", per_class=counts).split(data.labels, [], 0)


SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "optimizer": {
        "name": "adam",
        "learning_rate": 0.002,
        "backbone_scale": 1.0,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
    "augmentation": {"crop_padding": 0, "flip": False},
    "selection": "last",
    "validate_every": 1,
}


@every_method
def test_the_loop_visits_the_methods_part_of_the_split(
    name: str, digits: tuple[Prepared, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, split = digits
    part = methods.kind(name).trains_on
    indices = split.training_indices(part)
    # Where an epoch doesn't visit them all: as many as the others have.
    sampled = {"sample": 100} if "sample" in own_hyperparameters(name) else {}
    compute = devices.Compute(torch.device("cpu"), "float32")
    devices.make_deterministic(0, compute.device)
    network = build({"name": "cnn", "weights": "none", "input_size": 8}, 16, compute)
    method = methods.create(name, code_length=16, num_classes=10, num_train=len(indices), **sampled)
    visited: list[Tensor] = []
    original = method.similarity_loss

    def watched(u: Tensor, labels: Tensor, batch: Tensor) -> Tensor:
        assert torch.equal(labels, torch.from_numpy(data.labels[indices[batch.numpy()]]).float())
        visited.append(batch)
        return original(u, labels, batch)

    monkeypatch.setattr(method, "similarity_loss", watched)
    quantizer = quantizers.create("original")
    trainer = Trainer(network, method, quantizer, data, split, SETTINGS, quantizer_name="original", seed=0)
    fitted = trainer.fit(History(tmp_path / "history.csv"))
    # 100 images an epoch either way: three full batches of 32.
    assert [len(batch) for batch in visited] == [32] * 6
    first, second = (set(torch.cat(visited[i : i + 3]).tolist()) for i in (0, 3))
    assert len(first) == len(second) == 96 and first != second
    assert math.isfinite(fitted.validation_map) and fitted.selected_epoch == 2
    if part == "database":
        assert len(indices) == len(split.database) - len(split.validation)
        assert not set(indices) & (set(split.validation) | set(split.query))
        assert max(first | second) > len(split.train)
    else:
        assert np.array_equal(indices, split.train)


@pytest.mark.parametrize("argument", ["code_length", "num_classes", "num_train"])
@every_method
def test_nothing_can_be_made_of_no_bits_classes_or_images(name: str, argument: str) -> None:
    given = {"code_length": BITS, "num_classes": CLASSES, "num_train": 6} | {argument: 0}
    with pytest.raises(UserError) as error:
        methods.create(name, **given)
    one_line(error, f"method {name!r}, {argument}", "greater than 0", "0")
