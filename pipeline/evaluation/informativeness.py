"""How much codes say about their images: mutual information, estimated by a neural network (MINE).

Source: M. I. Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, as used in section 5.3 and
Table 3 of the WR paper.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codes import unpack
from pipeline.encoding.transfer import to_device
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.outputs import read_json, write_json

# How many other codes each held-out image is paired with, as independent draws, to choose a step and to measure.
_PAIRINGS_TO_CHOOSE = 5
_PAIRINGS_TO_MEASURE = 50
# Weight of a new batch in the moving average of E[exp T] that corrects the gradient's bias.
_AVERAGING = 0.01


@dataclass(frozen=True)
class Settings:
    """How the network is trained; params.yaml's ``informativeness`` section has these names.

    Attributes:
        hidden: units in each of the two hidden layers; 100 in the WR paper ("100-100-1").
        steps: gradient steps of each restart.
        batch_size: pairs a step.
        learning_rate: Adam's.
        restarts: networks trained from different weights, on different thirds of the data.
    """

    hidden: int = 100
    steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 0.0005
    restarts: int = 3


@dataclass(frozen=True)
class Informativeness:
    """Estimated mutual information in nats.

    Attributes:
        mean: over restarts.
        std: sample standard deviation over restarts; None for one.
        estimates: one of each restart.
        selected_steps: the step whose network gave each.
        held_out: pairs that each estimate is the bound of.
    """

    mean: float
    std: float | None
    estimates: list[float]
    selected_steps: list[int]
    held_out: int


def estimate(x: Tensor, y: Tensor, settings: Settings, seed: int) -> Informativeness:
    """Estimate the mutual information of x and y from n pairs drawn together.

    A network T(x, y) is trained to raise the Donsker-Varadhan bound (eq. 10 of the MINE paper)

        I(X; Y)  >=  E_joint[T]  -  log E_independent[exp T]

    where independent pairs are made by pairing each x of a batch with another's y. The second term's gradient
    over a batch is biased; as in section 3.2 of the paper its denominator is a moving average over batches.

    What is reported is the bound on pairs that no network was trained on and no step was chosen by: of three
    disjoint parts one trains (60%), one chooses among 20 checkpoints (20%), one is measured (20%).

    Why an estimate can be negative, as many in the WR paper's Table 3 are: mutual information is never below
    0, and the *best* T gives a bound of at least 0 (T = 0 has exactly 0), but the bound of a *given* T is
    what it is. A network that has fitted noise gives exp T large values on some independent pair, and
    log E[exp T] outweighs the rest. A negative value thus says that the estimate is loose by at least as
    much; it doesn't rank methods. Here the checkpoint is chosen on data of its own, step 0 is among them,
    and the last layer starts at 0 (T = 0), so values far below 0 don't arise; small ones do, by chance.

    A lower bound from a small network: differences between cells mean something where the network is the same
    and the differences exceed the spread over restarts. It can't exceed the entropy of the codes, and not by
    much log of the number of held-out pairs.

    Args:
        x: (n, D) on the device to work on, any float or uint8; its columns should have one unit, since they are
            centred by the training part and then all divided by one number.
        y: (n, K), likewise.
        settings: network and training.
        seed: draws parts, weights and batches; the global random state isn't used.

    Returns:
        Values in nats (divide by log 2 for bits).

    Examples:
        >>> x = torch.eye(4).repeat(50, 1)
        >>> settings = Settings(hidden=16, steps=200, batch_size=64, learning_rate=0.01, restarts=1)
        >>> 1.0 < estimate(x, x, settings, seed=0).mean < 1.6  # the entropy of four equal classes is 1.386
        True
    """
    estimates, steps = [], []
    for restart in range(settings.restarts):
        # The CPU's generator gives the same draws whatever device the numbers go to.
        generator = torch.Generator().manual_seed(seed * 1000 + restart)
        order = torch.randperm(len(x), generator=generator)
        train, choose, measure = (part.to(x.device) for part in order.tensor_split([len(x) * 3 // 5, len(x) * 4 // 5]))
        network = _Critic(x, y, train, settings.hidden, generator)
        best, step = _fit(network, (x, y), train, choose, settings, generator)
        network.load_state_dict(best)
        estimates.append(_bound(network, x[measure], y[measure], _PAIRINGS_TO_MEASURE))
        steps.append(step)
    spread = float(np.std(estimates, ddof=1)) if len(estimates) > 1 else None
    return Informativeness(math.fsum(estimates) / len(estimates), spread, estimates, steps, len(x) - len(x) * 4 // 5)


class _Critic(nn.Module):
    """T: two hidden layers of rectified units on (x, y) side by side, one output."""

    x_mean: Tensor
    x_std: Tensor
    y_mean: Tensor
    y_std: Tensor

    def __init__(self, x: Tensor, y: Tensor, train: Tensor, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, values in (("x", x), ("y", y)):
            part = values[train].float()
            mean = part.mean(dim=0)
            self.register_buffer(f"{name}_mean", mean)
            # One scale for all columns: a pixel that hardly varies among the training images would have a tiny
            # one of its own, and a held-out image that differs there an input of thousands.
            self.register_buffer(f"{name}_std", (part - mean).square().mean().sqrt().clamp(min=1e-6))
        sizes = [x.shape[1] + y.shape[1], hidden, hidden, 1]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
            nn.init.zeros_(layer.bias)
            # Kaiming's rule; T starts at 0, where the bound is 0.
            scale = 0.0 if outputs == 1 else (2 / inputs) ** 0.5
            layer.weight.data.copy_(scale * torch.randn(outputs, inputs, generator=generator))
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1]).to(x.device)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = (x.float() - self.x_mean) / self.x_std
        y = (y.float() - self.y_mean) / self.y_std
        values: Tensor = self.layers(torch.cat([x, y], dim=1)).squeeze(1)
        return values


def _fit(
    network: _Critic,
    pairs: tuple[Tensor, Tensor],
    train: Tensor,
    choose: Tensor,
    settings: Settings,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], int]:
    """Train, and return the weights of the checkpoint with the best bound on the choosing part, and its step."""
    x, y = pairs
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    average = torch.ones((), device=x.device)
    every = max(1, settings.steps // 20)
    best, best_bound, best_step = _copy(network), 0.0, 0
    for step in range(1, settings.steps + 1):
        rows = train[torch.randint(len(train), (settings.batch_size,), generator=generator).to(x.device)]
        partner = rows.roll(1)
        joint, independent = network(x[rows], y[rows]), network(x[rows], y[partner])
        mean_exp = independent.exp().mean()
        average = (1 - _AVERAGING) * average + _AVERAGING * mean_exp.detach()
        # Its gradient is that of the bound, with the moving average below the line.
        loss = mean_exp / average - joint.mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % every == 0:
            bound = _bound(network, x[choose], y[choose], _PAIRINGS_TO_CHOOSE)
            if bound > best_bound:
                best, best_bound, best_step = _copy(network), bound, step
    return best, best_step


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def _bound(network: _Critic, x: Tensor, y: Tensor, pairings: int) -> float:
    """The Donsker-Varadhan bound of all pairs; independent ones pair each x with that many other y's."""
    n = len(x)
    shifts = sorted({1 + i * (n - 1) // pairings for i in range(pairings)} & set(range(1, n)))
    independent = torch.stack([network(x, y.roll(shift, dims=0)) for shift in shifts]).double()
    log_mean = independent.flatten().logsumexp(0) - math.log(independent.numel())
    return float(network(x, y).double().mean() - log_mean)


def measure_cell(
    section: dict[str, Any], data: Prepared, codes: Path, part: str, seed: int, device: torch.device, target: Path
) -> None:
    """Write ``informativeness.json`` of one cell: what its codes of one part say about the images.

    Args:
        section: params.yaml's ``informativeness`` section.
        codes: the cell's folder from ``encode``.
        part: ``query`` or ``database``.
        seed: the cell's; draws which images where there are more than ``images``.
        target: folder to write into.
    """
    indices = stored.array(codes / f"{part}_indices.npy", "int64", 1)
    chosen = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))[: section["images"]].numpy()
    # In the order of the file: the images are mapped from disk.
    chosen.sort()
    pixels = reduced(data.images[indices[chosen]], section["image_size"], device)
    packed = stored.array(codes / f"{part}_codes.npy", "uint8", 2)[chosen]
    y = torch.from_numpy(unpack(packed, read_json(codes / "codes.json")["code_length"])).to(device)
    settings = Settings(**{name: section[name] for name in Settings.__dataclass_fields__})
    found = estimate(pixels.flatten(1), y, settings, seed)
    write_json(target / "informativeness.json", {**asdict(found), "unit": "nats", "part": part, "images": len(chosen)})


def reduced(images: npt.NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    """(n, S, S, 3) uint8 as (n, 3, size, size) on the device, averaged over areas where S is larger, else as it is."""
    if images.shape[1] <= size:
        return to_device(images, device)
    parts = [images[start : start + 1024] for start in range(0, len(images), 1024)]
    return torch.cat([functional.adaptive_avg_pool2d(to_device(part, device).float(), size) for part in parts])
