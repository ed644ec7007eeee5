"""Seconds of a cell with a frozen backbone: from stored features, by a plain loop, and with the backbone run each time.

    python -m benchmarks.heads [--methods csq dch] [--bits 32] [--rounds 3]

Run it in the repository of a study with `backbone.frozen: true` after its features have been computed. *Ours* is a
cell's training with validation, and the encoding of all its images. *Plain* is a loop as in public repositories on the
same features: a DataLoader that reads one vector at a time, `loss.item()` at each step, the same head, losses and
optimizer, no validation. *Backbone each time* is ours plus the backbone's passes over the images that training,
validation and encoding read, of which a few batches are timed. Ours and plain alternate; the table shows medians in
seconds of processor time. `python -m benchmarks.cell` shows the parts of one cell.
"""

from pipeline.runtime import numerics

numerics.apply()

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from pipeline import methods, params, protocols
from pipeline.encoding import device as devices
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork, build, for_cell, load_cell
from pipeline.features.views import inputs
from pipeline.params import Params
from pipeline.params.schema import TRAINING_FREE
from pipeline.preparation import arrays
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Indices, Split
from pipeline.runtime.layout import Cell, Layout
from pipeline.training.cell import train

#: Images of which the backbone's seconds are measured.
TIMED = 512


class Vectors(Dataset[tuple[Tensor, Tensor, int]]):
    """Features in a memory-mapped file, one at a time."""

    def __init__(self, data: Prepared) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        labels = torch.from_numpy(self.data.labels[index]).float()
        return torch.from_numpy(np.array(self.data.images[index])), labels, index


def ours(content: Params, cell: Cell, data: Prepared, split: Split) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train(content, {}, cell, data, split, Path(folder))
        compute = devices.choose(content["compute"])
        network = load_cell(content, cell.group, compute, data, Path(folder) / "weights.safetensors")
        outputs(network, data.images, encoded(split), compute.device)


def plain(content: Params, cell: Cell, data: Prepared, split: Split) -> None:
    torch.manual_seed(cell.seed)
    section, rows = content["training"], split.training_indices(methods.kind(cell.method).trains_on)
    network: HashNetwork = for_cell(content, cell.group, devices.choose(content["compute"]), data)
    method = created(content, cell, data.labels.shape[1], len(rows))
    parameters = [*network.parameters(), *method.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=section["optimizer"]["learning_rate"])
    place = {int(row): position for position, row in enumerate(rows)}
    vectors, size = Vectors(data), method.epoch_size(len(rows))
    with torch.no_grad():
        first = [network(torch.from_numpy(np.array(data.images[part]))) for part in np.array_split(rows, 20)]
        method.prime(torch.cat(first), torch.from_numpy(data.labels[rows]).float())
    for epoch in range(section["epochs"]):
        method.start_epoch(epoch)
        drawn = np.random.default_rng(epoch).permutation(rows)[:size]
        batches = DataLoader(Subset(vectors, drawn.tolist()), section["batch_size"], shuffle=True, drop_last=True)
        for images, labels, indices in batches:
            u = network(images)
            positions = torch.tensor([place[int(index)] for index in indices])
            loss = method.similarity_loss(u, labels, positions) + method.quantization_loss(u, labels, positions)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()
        method.end_epoch(epoch)
    network.eval()
    with torch.no_grad():
        for images, _, _ in DataLoader(Subset(vectors, encoded(split).tolist()), section["batch_size"]):
            network(images)


def created(content: Params, cell: Cell, num_classes: int, num_train: int) -> methods.Method:
    sizes = {"code_length": cell.bits, "num_classes": num_classes, "num_train": num_train}
    return methods.create(cell.method, **sizes, **content["methods"][cell.method])


def encoded(split: Split) -> Indices:
    return np.concatenate([split.query, split.database])


def images_read(content: Params, cell: Cell, split: Split) -> int:
    """How many images a cell's training, validation and encoding read, each as often as it is read."""
    section, rows = content["training"], split.training_indices(methods.kind(cell.method).trains_on)
    epoch = created(content, cell, 2, len(rows)).epoch_size(len(rows))
    validations = -(-section["epochs"] // section["validate_every"])
    validated = validations * (len(split.validation) + len(split.train))
    return len(rows) + section["epochs"] * epoch + validated + len(encoded(split))


def seconds(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def of_an_image(content: Params, layout: Layout) -> float:
    """Seconds of the backbone for an image, on one core and in the batches that suit it best there."""
    network = build(content["backbone"], 8, devices.choose(content["compute"])).eval()
    images = arrays.load(layout.data).images
    batch = 4
    with torch.no_grad():
        passes = [
            lambda start=start: network(torch.from_numpy(np.array(images[start : start + batch])).permute(0, 3, 1, 2))
            for start in range(0, TIMED, batch)
        ]
        passes[0]()
        return sum(seconds(one) for one in passes) / TIMED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    supervised = [n for n in methods.names() if n not in TRAINING_FREE and methods.kind(n).supervision == "labels"]
    parser.add_argument("--methods", nargs="+", default=supervised)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = params.read()
    content["compute"]["device"] = "cpu"  # the table is of processor time
    layout = Layout(content["study"])
    data = inputs(content, layout)
    split = protocols.draw(content["split"], data.labels, data.ids, 0)
    image = of_an_image(content, layout)
    print(f"The backbone takes {1000 * image:.1f} ms for an image.\n")
    print("| method | ours (s) | cells a minute and core | plain (s) | plain / ours | backbone each time (s) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in given.methods:
        cell = Cell(name, "original", given.bits, 0)
        calls = [partial(kind, content, cell, data, split) for kind in (ours, plain)]
        turns = [[seconds(call) for call in calls] for _ in range(given.rounds)]
        mine, other = (median(column) for column in zip(*turns, strict=True))
        whole = mine + image * images_read(content, cell, split)
        columns = (name, f"{mine:.1f}", f"{60 / mine:.1f}", f"{other:.1f}", f"{other / mine:.1f}", f"{whole:,.0f}")
        print("| " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()
