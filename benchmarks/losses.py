"""The time of each method's losses and their gradient, without a network.

    python -m benchmarks.losses [--device cpu|cuda] [--bits 32] [--repeats 30]

With cached features the losses are almost the whole training step. A step is similarity loss plus own quantization
term, forward and backward with respect to the outputs of the hash head. On a CPU the table gives processor time of one
thread, on a GPU the time until the GPU has finished. Each number is the minimum over the repeats. Numerics are
portable, as in training; it is the second epoch, when all terms of a loss are on.
"""

from pipeline.runtime import numerics

numerics.apply()

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline import methods
from pipeline.assignment import optimal_pairing
from pipeline.encoding import device as devices
from pipeline.methods import Method
from pipeline.params.schema import TRAINING_FREE
from pipeline.training.timing import finish

BATCH, CLASSES, FEATURES = 256, 10, 1280
#: Images of the training set; ``database`` is what ADSH is trained on.
IMAGES = {"train": 5000, "database": 58000}
#: Calls for one reading of the clock, so that its resolution does not matter.
CALLS = 5


class Step:
    """A primed method and a batch of random outputs."""

    def __init__(self, name: str, bits: int, device: torch.device) -> None:
        n = IMAGES[methods.kind(name).trains_on]
        generator = torch.Generator().manual_seed(0)
        labels = one_hot(torch.randint(CLASSES, (n,), generator=generator), CLASSES).float().to(device)
        self.method: Method = methods.create(name, code_length=bits, num_classes=CLASSES, num_train=n).to(device)
        self.method.prime(torch.randn(n, bits, generator=generator).to(device), labels)
        self.method.start_epoch(1)
        indices, views = torch.randperm(n, generator=generator)[:BATCH].to(device), self.method.views
        features = torch.randn(BATCH, FEATURES, generator=generator).to(device)
        self.labels = (features if self.method.supervision == "features" else labels[indices]).repeat(views, 1)
        self.indices = indices.repeat(views)
        self.u = torch.randn(views * BATCH, bits, generator=generator).to(device).requires_grad_()

    def __call__(self) -> Tensor:
        """The gradient with respect to the outputs, (b, K)."""
        batch = (self.u, self.labels, self.indices)
        loss = self.method.similarity_loss(*batch) + self.method.quantization_loss(*batch)
        return torch.autograd.grad(loss, self.u)[0]


def pairing(bits: int, device: torch.device) -> Callable[[], Any]:
    """The pairing of a batch with its targets, as ``wr`` needs it in each step."""
    generator = torch.Generator().manual_seed(0)
    codes, targets = torch.randn(2, BATCH, bits, generator=generator).to(device).unbind()
    codes, targets = codes.tanh(), torch.where(targets >= 0, 1.0, -1.0)
    return lambda: optimal_pairing(codes, targets)


def milliseconds(call: Callable[[], Any], device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    for _ in range(CALLS):
        call()
    finish(device)
    return 1000 * (clock() - start) / CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = devices.choose(
        {"device": given.device, "precision": "float32", "numerics": "portable", "threads": 1}
    ).device
    calls: dict[str, Callable[[], Any]] = {
        name: Step(name, given.bits, device) for name in methods.names() if name not in TRAINING_FREE
    }
    calls["pairing of wr"] = pairing(given.bits, device)
    for call in calls.values():
        milliseconds(call, device)  # compiles, and sets up memory
    best = {name: min(milliseconds(call, device) for _ in range(given.repeats)) for name, call in calls.items()}
    print(f"torch {torch.__version__}, batch {BATCH}, {given.bits} bits, {CLASSES} classes\n")
    print("| loss and gradient | images | ms |\n| --- | ---: | ---: |")
    for name, value in best.items():
        images = IMAGES[methods.kind(name).trains_on] if name in methods.names() else BATCH
        print(f"| {name} | {images:,} | {value:.2f} |")


if __name__ == "__main__":
    main()
