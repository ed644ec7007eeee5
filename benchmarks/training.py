"""Images per second for training and for encoding: ours, and a plain loop in the style of public repositories.

    python -m benchmarks.training [--quick] [--backbone NAME] [--workers N]

The plain loop opens, decodes and resizes every image with Pillow in each epoch, in the workers of a DataLoader. It
computes in float32 and reads the loss of every step. Ours starts from the arrays that `prepare` wrote. It computes in
bfloat16 on a GPU, and on a CPU in float32 and, if the CPU has instructions for it, again in bfloat16. All train the
same network (random weights) with dsdh's own losses and Adam, on randomly mirrored images. They alternate epoch by
epoch, in one process on one device. `prepare` isn't timed, because it runs once for all cells
(benchmarks/preparation.py measures it). If other work runs on the machine, compare processor time, which includes the
workers.

On a GPU, a second table shows ours with a compiled backbone, and with the backbone's passes as CUDA graphs. The
training loop does neither; the table shows whether they would be faster.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from pipeline import backbones, methods, quantizers
from pipeline.datasets.shapes import Shapes
from pipeline.encoding import device as devices
from pipeline.encoding.device import Compute
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork, build
from pipeline.params import schema
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.preparation.square import square
from pipeline.runtime.machine import cores
from pipeline.training.loop import Trainer
from pipeline.training.timing import finish

Labels = npt.NDArray[np.uint8]
BITS = 48
ROUNDS = 3
#: Width and height of the images that are resized to 224 pixels, about as in NUS-WIDE and COCO.
PHOTOGRAPH = (500, 375)
#: Number of different images; longer epochs use each several times.
DRAWN = 512


@dataclass(frozen=True)
class Case:
    backbone: str
    size: int  # width and height of the network's input in pixels
    batch: int
    images: int  # in an epoch, and in a pass of encoding
    rounds: int = ROUNDS


#: On a GPU, an epoch is long enough for the plain loop's workers to reach their full speed.
CASES = {
    "cpu": [
        Case("cnn", 32, 64, 1024),
        Case("cnn", 32, 256, 1024),
        Case("alexnet", 224, 64, 256),
        Case("alexnet", 224, 256, 256),
        Case("vgg11", 224, 64, 64),
        Case("vgg11", 224, 256, 256, rounds=1),  # a step takes two cores a minute, and 20 GB
    ],
    "cuda": [
        Case("cnn", 32, 64, 20480),
        Case("cnn", 32, 256, 20480),
        Case("alexnet", 224, 64, 5120),
        Case("alexnet", 224, 256, 5120),
        Case("vgg11", 224, 64, 5120),
        Case("vgg11", 224, 256, 5120),
    ],
}


class Images(Dataset[tuple[Tensor, Tensor, int]]):
    """JPEG files, opened and transformed at each access."""

    def __init__(self, files: list[Path], labels: Labels, transform: Callable[..., Tensor]) -> None:
        self.files, self.labels, self.transform = files, labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image = Image.open(self.files[index]).convert("RGB")
        return self.transform(image), torch.from_numpy(self.labels[index]).float(), index


class Plain:
    """The training loop and encoding of public repositories."""

    def __init__(self, case: Case, files: list[Path], labels: Labels, device: torch.device, workers: int):
        torch.manual_seed(0)
        self.device = device
        backbone = backbones.create(case.backbone)
        self.network = nn.Sequential(backbone, nn.Linear(backbone.num_features, BITS)).to(device)
        self.method = _method(labels, device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-5)
        tensor = [transforms.ToTensor(), transforms.Normalize(backbone.mean, backbone.std)]
        resize = transforms.Resize((case.size, case.size))
        training = transforms.Compose([resize, transforms.RandomHorizontalFlip(), *tensor])
        options: dict[str, Any] = {"batch_size": case.batch, "num_workers": workers}
        self.batches = DataLoader(Images(files, labels, training), shuffle=True, drop_last=True, **options)
        self.all = DataLoader(Images(files, labels, transforms.Compose([resize, *tensor])), **options)

    def epoch(self) -> float:
        torch.use_deterministic_algorithms(False)  # the default, as in public repositories; ours sets it to True
        self.network.train()
        total = 0.0
        for images, labels, indices in self.batches:
            images, labels, indices = images.to(self.device), labels.to(self.device), indices.to(self.device)
            self.optimizer.zero_grad()
            u = self.network(images)
            loss = self.method.similarity_loss(u, labels, indices) + self.method.quantization_loss(u, labels, indices)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
        self.method.end_epoch(0)
        return total

    def encode(self) -> Tensor:
        self.network.eval()
        with torch.no_grad():
            return torch.cat([self.network(images.to(self.device)).cpu() for images, _, _ in self.all])


class Ours:
    """The project's own training loop and encoding, from the arrays that ``prepare`` writes."""

    def __init__(self, case: Case, data: Prepared, compute: Compute) -> None:
        device = compute.device
        devices.make_deterministic(0, device)
        everything = np.arange(case.images)
        split = Split(query=everything[:1], database=everything, train=everything, validation=everything[:1])
        section: schema.Backbone = {
            "name": case.backbone,
            "weights": "none",
            "input_size": case.size,
            "frozen": False,
        }
        network = build(section, BITS, compute)
        self.data, self.rows, self.device = data, everything, device
        self.trainer = Trainer(
            network,
            _method(data.labels, device),
            quantizers.create("original"),
            data,
            split,
            _settings(case.batch),
            quantizer_name="original",
            seed=0,
        )

    @property
    def network(self) -> HashNetwork:
        return self.trainer.network

    def epoch(self) -> float:
        devices.make_deterministic(0, self.device)
        return self.trainer.epoch(0)["loss"]

    def encode(self) -> Tensor:
        return outputs(self.network, self.data.images, self.rows, self.device)


def _method(labels: Labels, device: torch.device) -> methods.Method:
    method = methods.create("dsdh", code_length=BITS, num_classes=labels.shape[1], num_train=len(labels)).to(device)
    method.prime(torch.randn(len(labels), BITS, device=device), torch.from_numpy(labels).float().to(device))
    return method


def _settings(batch: int) -> schema.Training:
    return {
        "epochs": 100,
        "batch_size": batch,
        "optimizer": {
            "name": "adam",
            "learning_rate": 1e-5,
            "backbone_scale": 1.0,
            "weight_decay": 0.0,
            "schedule": "constant",
        },
        "augmentation": {"crop_padding": 0, "flip": True},
        "selection": "last",
        "validate_every": 1,
    }


@contextmanager
def made(size: int, count: int) -> Iterator[tuple[list[Path], Prepared]]:
    """The same images as JPEG files for the plain loop and as prepared arrays for ours."""
    width, height = PHOTOGRAPH if size > 100 else (size, size)
    drawn = min(count, DRAWN)
    shapes, rows = Shapes(path=None, images=drawn, side=max(width, height)), np.arange(count) % drawn
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{row}.jpg" for row in range(drawn)]
        images = np.empty((drawn, size, size, 3), np.uint8)
        for row, file in enumerate(files):
            # Blurred, because images with noise have larger files than photographs.
            image = shapes.image(row).crop((0, 0, width, height)).filter(ImageFilter.GaussianBlur(0.7))
            image.save(file, quality=90)
            images[row] = square(image, size)
        np.save(Path(folder) / "images.npy", images[rows])
        mapped = np.load(Path(folder) / "images.npy", mmap_mode="r")
        yield [files[row] for row in rows], Prepared(mapped, shapes.labels[rows], {})


@dataclass(frozen=True)
class Taken:
    """Seconds of wall time and of processor time, which includes the workers."""

    wall: float
    processor: float


def by_turns(calls: Sequence[Callable[[], object]], device: torch.device, count: int) -> list[Taken]:
    """The median times of each call over ``count`` rounds; a first round isn't counted."""
    rounds = [[seconds(call, device) for call in calls] for _ in range(count + 1)][1:]
    return [
        Taken(median(one.wall for one in column), median(one.processor for one in column))
        for column in zip(*rounds, strict=True)
    ]


def seconds(call: Callable[[], object], device: torch.device) -> Taken:
    finish(device)
    start, before = time.perf_counter(), os.times()
    call()
    finish(device)
    return Taken(time.perf_counter() - start, sum(os.times()[:4]) - sum(before[:4]))


def computed(device: torch.device) -> list[Compute]:
    """The device with each precision that ours is measured in."""
    if device.type == "cuda":
        return [Compute(device, "bfloat16")]
    return [Compute(device, name) for name in ("float32", *(["bfloat16"] if devices.computes_bfloat16() else []))]


def against_plain(case: Case, files: list[Path], data: Prepared, device: torch.device, workers: int) -> Iterator[str]:
    """Rows of the first table, one for each precision of ours."""
    plain = Plain(case, files, data.labels, device, workers)
    ours = {compute.precision: Ours(case, data, compute) for compute in computed(device)}
    trained = case.images // case.batch * case.batch
    training = by_turns([plain.epoch, *(one.epoch for one in ours.values())], device, case.rounds)
    encoding = by_turns([plain.encode, *(one.encode for one in ours.values())], device, case.rounds)
    for row, precision in enumerate(ours, 1):
        cells = [named(case), precision]
        for count, taken in ((trained, training), (case.images, encoding)):
            before, now = taken[0], taken[row]
            cells += [f"{count / before.wall:,.0f}", f"{count / now.wall:,.0f}"]
            cells += [f"{before.wall / now.wall:.2f}", f"{before.processor / now.processor:.2f}"]
        yield f"| {' | '.join(cells)} |"


def named(case: Case) -> str:
    return f"{case.backbone}, {case.size} pixels, batch {case.batch}"


def compiled(network: HashNetwork, sample: Tensor) -> None:
    network.backbone = torch.compile(network.backbone)  # type: ignore[assignment]


def graphed(network: HashNetwork, sample: Tensor) -> None:
    # The casts of weights must be part of the graph, so autocast may not cache them.
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        network.backbone = torch.cuda.make_graphed_callables(network.backbone, (sample,))  # type: ignore[assignment]


def with_variants(case: Case, data: Prepared, device: torch.device) -> str:
    """A row of the second table; a variant that fails is reported and not timed."""
    compute = Compute(device, "bfloat16")
    calls: list[Callable[[], object]] = [Ours(case, data, compute).epoch]
    rates: dict[str, str] = {}
    names = ["ours"]
    for variant in (compiled, graphed):
        ours = Ours(case, data, compute)
        sample = torch.zeros(case.batch, 3, case.size, case.size, device=device)
        try:
            variant(ours.network, sample.contiguous(memory_format=compute.memory_format))
            ours.epoch()
        except Exception as error:  # any error of the compiler or CUDA
            rates[variant.__name__] = f"failed: {type(error).__name__}"
            print(f"{variant.__name__}, {case}: {error}", file=sys.stderr)
            continue
        calls.append(ours.epoch)
        names.append(variant.__name__)
    trained = case.images // case.batch * case.batch
    taken = dict(zip(names, by_turns(calls, device, case.rounds), strict=True))
    rates |= {name: f"{trained / one.wall:,.0f}" for name, one in taken.items()}
    numbers = " | ".join(rates[name] for name in ("ours", "compiled", "graphed"))
    return f"| {named(case)} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="32 pixels only")
    parser.add_argument("--backbone", choices=("cnn", "alexnet", "vgg11"), help="only this one")
    parser.add_argument("--workers", type=int, default=min(4, cores()), help="of the plain loop")
    asked = parser.parse_args()
    device = devices.choose({"device": "auto", "precision": "auto", "numerics": "portable", "threads": cores()}).device
    cases = [
        case
        for case in CASES[device.type]
        if (case.size == 32 or not asked.quick) and asked.backbone in (None, case.backbone)
    ]
    variants = []
    print(
        "| network | ours in | plain, trained/s | ours, trained/s | ratio | of processor time | "
        "plain, encoded/s | ours, encoded/s | ratio | of processor time |"
    )
    print("| --- | --- |" + " ---: |" * 8)
    for (size, count), group in groupby(cases, key=lambda case: (case.size, case.images)):
        with made(size, count) as (files, data):
            for case in group:
                for row in against_plain(case, files, data, device, asked.workers):
                    print(row, flush=True)
                if device.type == "cuda":
                    variants.append(with_variants(case, data, device))
    if variants:
        print("\n| network | ours, trained/s | compiled backbone | graphed backbone |")
        print("| --- | ---: | ---: | ---: |")
        print("\n".join(variants))


if __name__ == "__main__":
    main()
