"""No step waits for the GPU: none asks for a value of a tensor, copies to or from the host, or makes an unknown shape.

Looked for without a GPU, in two ways. A real step on the CPU, backward and optimizer included, shows every operation
that would have to know values. The same with tensors that only pretend to be on a GPU, which PyTorch's fake tensors
can (forward alone), shows what would be copied. Tests marked ``gpu`` let CUDA itself say so.

Pairing (``wr``, ``ot``) waits by its nature: it is solved on the host.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline import protocols, quantizers
from pipeline.encoding import images as image_module
from pipeline.encoding.augmentation import Augmentation
from pipeline.encoding.device import Compute
from pipeline.encoding.images import Resident
from pipeline.encoding.network import build
from pipeline.methods.shared import triplets
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from pipeline.training.loop import Trainer
from pipeline.training.objective import losses
from tests.conftest import ROOT
from tests.losses import TRAINED, started

PAIRING = ("wr", "ot")
every_method = pytest.mark.parametrize("method", TRAINED)
every_other_quantizer = pytest.mark.parametrize(
    "quantizer", [name for name in quantizers.names() if name not in PAIRING]
)


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """DTSH goes through the triplets in another way on a CPU."""
    monkeypatch.setattr(triplets, "_on_cpu", lambda device: False)


# Operations whose result, or its shape, depends on values; the last makes a tensor of numbers that the host has.
WAITING = {
    "_linalg_check_errors", "_local_scalar_dense", "_unique2", "bincount", "equal", "is_nonzero", "masked_select",
    "nonzero", "unique_consecutive", "unique_dim", "lift_fresh",
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Keeps the names of operations that a GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in WAITING or _by_mask(name, args) or _between_devices(name, args, result):
            self.found.append(name)
        return result


def _by_mask(name: str, args: Any) -> bool:
    """``x[mask]``: how many there are is what the mask's values say."""
    if name not in ("index", "index_put", "index_put_"):
        return False
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def _between_devices(name: str, args: Any, result: Any) -> bool:
    """Copies, and lists of indices on another device. A number that only the host has is passed along, not copied."""
    given = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    if name in ("_to_copy", "copy_"):
        return len({tensor.device.type for tensor in given + made}) > 1
    return len({tensor.device.type for tensor in given if tensor.ndim}) > 1


# Real steps.


@pytest.fixture
def images(tmp_path: Path) -> Prepared:
    random = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", random.integers(0, 256, (120, 10, 10, 3), dtype=np.uint8))
    labels = np.eye(4, dtype=np.uint8)[np.arange(120) % 4]
    labels |= random.random(labels.shape) < 0.2
    return Prepared(np.load(tmp_path / "images.npy", mmap_mode="r"), labels, {"content_hash": "x"})


def ready(method: str, quantizer: str, data: Prepared, device: str = "cpu") -> Trainer:
    """A trainer that has begun its first epoch, with everything switched on that a step can do."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["compute"]["device"] = device
    params["backbone"]["input_size"] = 8
    params["training"] |= {"batch_size": 16, "augmentation": {"crop_padding": 1, "flip": True}}
    split = protocols.create("hswd", query=10, train=80, validation=10).split(data.labels, [], 0)
    one = trainer(params, Group(method, quantizer, 16), 0, data, split)
    one.prime()
    one.network.train()
    one.method.start_epoch(0)
    return one


def steps(one: Trainer, count: int = 2) -> Iterator[None]:
    """A step each time it is asked for one, from the reading of its images on."""
    order = torch.randperm(len(one.images), generator=one.generator, device=one.device)
    batches = list(torch.split(order, 16))[:count]
    for indices, batch in zip(batches, one.images.batches(batches), strict=True):
        one._step(indices, batch)
        yield


def of_steps(method: str, quantizer: str, data: Prepared) -> list[str]:
    one = ready(method, quantizer, data)
    with Watch() as watch:
        for _ in steps(one):
            pass
    return watch.found


@every_method
def test_a_step_of_a_method_asks_for_no_value(method: str, images: Prepared) -> None:
    assert of_steps(method, "original", images) == []


@every_other_quantizer
def test_a_step_of_a_quantizer_asks_for_no_value(quantizer: str, images: Prepared) -> None:
    assert of_steps("csq", quantizer, images) == []


@pytest.mark.parametrize(
    "asks",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: float(x[0, 0]),
        lambda x: x[x > 0],
        lambda x: x.masked_fill_(x > 0, 0)[x > 0],
        lambda x: torch.where(x > 0),
        lambda x: x.unique(),
        lambda x: torch.equal(x, x),
        lambda x: torch.linalg.solve(x, x),
        lambda x: x + torch.tensor([1.0, 2.0]),
        lambda x: x.index_put_((x > 0,), torch.zeros(())),
    ],
)
def test_the_watch_sees(asks: Any) -> None:
    with Watch() as watch:
        asks(torch.eye(2))
    assert watch.found


# Steps with tensors that pretend to be on a GPU.


class OnCuda(torch.Generator):
    """Says of itself what a generator on the GPU says."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


@contextmanager
def pretending() -> Iterator[tuple[FakeTensorMode, Watch]]:
    with warnings.catch_warnings(), FakeTensorMode() as fake, Watch() as watch:
        warnings.filterwarnings("ignore", message=".*CUDA is not available.*")
        yield fake, watch


def moved(module: nn.Module, fake: FakeTensorMode) -> None:
    """Parameters and buffers, to where they pretend to be; ``to`` would swap what fake tensors don't let it."""
    for part in module.modules():
        for kept in (part._parameters, part._buffers):
            for name, value in kept.items():
                if value is not None:
                    there = fake.from_tensor(value).to("cuda").detach()
                    kept[name] = nn.Parameter(there) if isinstance(value, nn.Parameter) else there


def copied_by_losses(method_name: str, quantizer_name: str) -> list[str]:
    method, u, labels, indices = started(method_name, "multi-label")
    quantizer = quantizers.create(quantizer_name)
    with pretending() as (fake, watch):
        moved(method, fake)
        batch = tuple(fake.from_tensor(tensor).to("cuda") for tensor in (u, labels, indices))
        watch.found.clear()
        parts = losses(method, quantizer, quantizer_name, batch, OnCuda())  # type: ignore[arg-type]
        assert parts["loss"].device.type == "cuda"
    return watch.found


@every_method
def test_losses_of_a_method_copy_nothing(method: str) -> None:
    assert copied_by_losses(method, "original") == []


@every_other_quantizer
def test_a_quantizer_copies_nothing(quantizer: str) -> None:
    assert copied_by_losses("dch", quantizer) == []


@pytest.mark.parametrize(("backbone", "size"), [("cnn", 8), ("cnn", 16), ("alexnet", 64)])
def test_pixels_to_outputs_copies_nothing(backbone: str, size: int) -> None:
    section = {"name": backbone, "weights": "none", "input_size": size}
    network = build(section, 16, Compute(torch.device("cpu"), "float32"))
    network.compute = Compute(torch.device("cuda"), "bfloat16")
    with pretending() as (fake, watch):
        moved(network, fake)
        held = Resident(torch.zeros(20, 3, 12, 12, dtype=torch.uint8, device="cuda"))
        (batch,) = held.batches([torch.randperm(20, device="cuda")[:6]])
        watch.found.clear()
        (view,) = Augmentation(crop_padding=1, flip=True)(batch, OnCuda(), 1)
        found = network(view)
        assert found.device.type == "cuda" and found.shape == (6, 16)
    assert watch.found == []


@pytest.mark.parametrize(
    "copies",
    [
        lambda x: x.cpu(),
        lambda x: x + torch.ones(2).to("cuda"),
        lambda x: x[torch.arange(2)],
        lambda x: x.copy_(torch.ones(2, 2)),
    ],
)
def test_the_watch_sees_copies(copies: Any) -> None:
    with pretending() as (_, watch):
        copies(torch.ones(2, 2, device="cuda"))
    assert watch.found


# Steps on a GPU, where CUDA says what waits.


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def all_but_the_first(one: Trainer) -> None:
    """In the first, memory and kernels are set up, and the order of images goes to the reader."""
    rest = steps(one, 4)
    next(rest)
    with waiting_is_an_error():
        for _ in rest:
            pass


@pytest.mark.gpu
@every_method
def test_no_step_of_a_method_waits(method: str, images: Prepared) -> None:
    all_but_the_first(ready(method, "original", images, "cuda"))


@pytest.mark.gpu
@every_other_quantizer
def test_no_step_of_a_quantizer_waits(quantizer: str, images: Prepared) -> None:
    all_but_the_first(ready("csq", quantizer, images, "cuda"))


@pytest.mark.gpu
def test_no_step_waits_where_images_are_read_as_they_are_used(
    images: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "_free", lambda device: 0)
    all_but_the_first(ready("csq", "hswd", images, "cuda"))


@pytest.mark.gpu
def test_cuda_would_say_so() -> None:
    value = torch.zeros((), device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"), waiting_is_an_error():
        value.item()
