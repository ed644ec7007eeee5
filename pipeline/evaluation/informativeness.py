"""Mutual information of codes and their images, estimated by a neural network (MINE).

Source: M. I. Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, as used in section 5.3 and
Table 3 of the WR paper.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codes import unpack
from pipeline.encoding.transfer import to_device
from pipeline.params import schema
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.outputs import read_json, write_json

# Number of other codes that each held-out image is paired with, as independent pairs: to choose a step, to measure.
_PAIRINGS_TO_CHOOSE = 5
_PAIRINGS_TO_MEASURE = 50
# Weight of a new batch in the moving average of E[exp T] that corrects the gradient's bias.
_AVERAGING = 0.01


@dataclass(frozen=True)
class Settings:
    """Training settings of the network, with the names of params.yaml's ``informativeness`` section.

    Attributes:
        hidden: units in each of the two hidden layers; 100 in the WR paper ("100-100-1").
        steps: gradient steps of each restart.
        batch_size: pairs per step.
        learning_rate: learning rate of Adam.
        restarts: number of networks, each with its own initial weights and random division of the data.
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
        std: sample standard deviation over restarts; None for one restart.
        estimates: the estimate of each restart.
        selected_steps: the training step of the network that gave each estimate.
        held_out: number of pairs on which each estimate is measured.
    """

    mean: float
    std: float | None
    estimates: list[float]
    selected_steps: list[int]
    held_out: int


def estimate(x: Tensor, y: Tensor, settings: Settings, seed: int) -> Informativeness:
    """Estimate the mutual information of x and y from n joint samples.

    A network T(x, y) is trained to maximise the Donsker-Varadhan bound (eq. 10 of the MINE paper)

        I(X; Y)  >=  E_joint[T]  -  log E_independent[exp T]

    where an independent pair is an x of a batch with the y of another pair. The gradient of the second term over a
    batch is biased. As in section 3.2 of the paper, its denominator is a moving average over batches.

    The estimate is the bound on held-out pairs. The data are divided into three disjoint parts: one trains the
    network (60%), one chooses among 20 checkpoints (20%), and one measures the bound (20%).

    An estimate can be negative, like many in the WR paper's Table 3. Mutual information is never below 0, and
    the *best* T gives a bound of at least 0 (T = 0 gives exactly 0), but the bound of a *given* T can be
    negative. If a network has fitted noise, exp T is large on some independent pair, and log E[exp T] outweighs
    the rest. A negative value thus means that the estimate is too low by at least this amount; it doesn't rank
    methods. Values far below 0 don't occur here, because the checkpoint is chosen on separate data, step 0 is
    among the checkpoints, and the last layer starts at 0 (T = 0). Values slightly below 0 occur by chance.

    The estimate is a lower bound from a small network. Differences between cells are meaningful only if the
    network is the same and they exceed the spread over restarts. The estimate is biased. It is low for many
    different codes: no estimate of this kind can exceed the log of the number of held-out pairs by much (four codes:
    1.376 of 1.386 nats; random codes of 16 bits: 4.2 of 11.1). For few held-out pairs it varies, and then it can be
    above the entropy of the codes, which bounds the mutual information itself (2.366 for ten codes of 1,000 images,
    whose entropy is at most ln 10 = 2.303).

    Args:
        x: (n, D) on the device to compute on, any float or uint8. Its columns should have one unit, since they are
            centred by the training part and then all divided by one number.
        y: (n, K), likewise.
        settings: network and training.
        seed: seed of parts, weights and batches; the global random state isn't used.

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
        # A CPU generator gives the same numbers for every device.
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
    """T: two hidden layers of rectified linear units on the concatenation of x and y, one output."""

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
            # One scale for all columns: the own scale of a pixel that hardly varies among the training images
            # would be tiny, and a held-out image that differs in this pixel would have an input of thousands.
            self.register_buffer(f"{name}_std", (part - mean).square().mean().sqrt().clamp(min=1e-6))
        sizes = [x.shape[1] + y.shape[1], hidden, hidden, 1]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
            nn.init.zeros_(layer.bias)
            # Kaiming initialisation, except for the output layer: T starts at 0, where the bound is 0.
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
        # The gradient of this loss is that of the negative bound, with the moving average in the denominator.
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
    """The Donsker-Varadhan bound of all pairs; for the independent pairs, each x gets ``pairings`` other y's."""
    n = len(x)
    shifts = sorted({1 + i * (n - 1) // pairings for i in range(pairings)} & set(range(1, n)))
    independent = torch.stack([network(x, y.roll(shift, dims=0)) for shift in shifts]).double()
    log_mean = independent.flatten().logsumexp(0) - math.log(independent.numel())
    return float(network(x, y).double().mean() - log_mean)


def measure_cell(
    section: schema.Informativeness,
    data: Prepared,
    codes: Path,
    part: str,
    seed: int,
    device: torch.device,
    target: Path,
) -> None:
    """Write ``informativeness.json`` of one cell: the mutual information of one part's codes and images.

    Args:
        section: params.yaml's ``informativeness`` section.
        data: the prepared dataset.
        codes: the cell's folder from ``encode``.
        part: ``query`` or ``database``.
        seed: the cell's seed; it also draws the images if the part has more than ``images``.
        device: where the network is trained.
        target: the folder to write into.
    """
    indices = stored.array(codes / f"{part}_indices.npy", "int64", 1)
    chosen = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))[: section["images"]].numpy()
    # In file order, because the images are memory-mapped.
    chosen.sort()
    pixels = reduced(data.images[indices[chosen]], section["image_size"], device)
    packed = stored.array(codes / f"{part}_codes.npy", "uint8", 2)[chosen]
    y = torch.from_numpy(unpack(packed, read_json(codes / "codes.json")["code_length"])).to(device)
    settings = Settings(
        hidden=section["hidden"],
        steps=section["steps"],
        batch_size=section["batch_size"],
        learning_rate=section["learning_rate"],
        restarts=section["restarts"],
    )
    found = estimate(pixels.flatten(1), y, settings, seed)
    write_json(target / "informativeness.json", {**asdict(found), "unit": "nats", "part": part, "images": len(chosen)})


def reduced(images: npt.NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    """(n, S, S, 3) uint8 as (n, 3, size, size) on the device, averaged over areas; (n, 3, S, S) if S is not larger."""
    if images.shape[1] <= size:
        return to_device(images, device)
    parts = [images[start : start + 1024] for start in range(0, len(images), 1024)]
    return torch.cat([functional.adaptive_avg_pool2d(to_device(part, device).float(), size) for part in parts])
