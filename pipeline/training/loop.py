"""The training loop that all methods and quantizers share."""

import copy
import math
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.encoding.encode import outputs_of
from pipeline.encoding.images import inputs
from pipeline.encoding.network import HashNetwork, first_view
from pipeline.methods import Method
from pipeline.params import schema
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.quantizers import Quantizer
from pipeline.runtime.errors import Diverged
from pipeline.training import optimization
from pipeline.training.history import History
from pipeline.training.objective import losses
from pipeline.training.selection import Selection


@dataclass(frozen=True)
class Fitted:
    """The weights of the selected epoch, the number of this epoch (from 1) and its validation mAP."""

    state: dict[str, Tensor]
    selected_epoch: int
    validation_map: float


class Trainer:
    """Trains one network with one method and one quantizer.

    All images, labels and the order of batches are tensors on the device. Images that don't fit are read from disk
    when a batch needs them. Otherwise a step copies nothing between host and device, except what ``wr`` and ``ot``
    pair. Losses are copied to the host once per epoch. The method determines which part of the split it trains on and
    how many images of it an epoch visits. Of a seed, initial weights, order of batches, augmentation and dropout are
    the same with every quantizer, so that quantizers can be compared in pairs.

    Args:
        network: the network to train, on its device.
        method: the method, on the same device.
        quantizer: the quantizer.
        data: the prepared dataset, or its features.
        split: the images of each part.
        settings: params.yaml's ``training`` section.
        quantizer_name: the name under which the quantizer's term is logged.
        seed: seed of the order of batches, the augmentation and the random targets.
    """

    def __init__(
        self,
        network: HashNetwork,
        method: Method,
        quantizer: Quantizer,
        data: Prepared,
        split: Split,
        settings: schema.Training,
        *,
        quantizer_name: str,
        seed: int,
    ) -> None:
        self.network, self.method, self.quantizer = network, method, quantizer
        self.settings, self.quantizer_name = settings, quantizer_name
        self.device = network.device
        indices = split.training_indices(method.trains_on)
        self.images = inputs(data.images, indices, self.device)
        network.adapt(self.images)
        self.labels = torch.from_numpy(data.labels[indices]).to(self.device, torch.float32)
        self.random_views = network.random_views(settings["augmentation"])
        self.generator = torch.Generator(self.device).manual_seed(seed)
        other = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])
        self.of_quantizer = torch.Generator(self.device).manual_seed(other)
        self.selection = Selection(settings["selection"], data, split, self.device)
        self.epoch_size: int = method.epoch_size(len(self.images))
        self.batch_size: int = min(settings["batch_size"], self.epoch_size)
        self.batches = self.epoch_size // self.batch_size
        self.optimizer, self.scheduler = optimization.make(
            settings["optimizer"], network, method, settings["epochs"] * self.batches
        )

    def fit(self, history: History) -> Fitted:
        """Train for ``settings["epochs"]`` epochs.

        Each epoch draws a new order of the images and leaves out an incomplete last batch.

        Args:
            history: gets a row per epoch; it is closed at the end.

        Returns:
            The weights of the selected epoch.

        Raises:
            Diverged: the loss is not finite.
        """
        self.prime()
        with closing(history):
            return self._fit(history)

    def _fit(self, history: History) -> Fitted:
        best: Fitted | None = None
        best_score = -math.inf
        epochs = self.settings["epochs"]
        progress = tqdm(range(epochs), unit=" epochs", disable=None, mininterval=0.5)
        for epoch in progress:
            row = self.epoch(epoch)
            row["validation_map"] = math.nan
            if (epoch + 1) % self.settings["validate_every"] == 0 or epoch == epochs - 1:
                row["validation_map"] = self.selection.validation_map(self.network)
                score = self.selection.score(self.network, epoch, row["validation_map"])
                if score > best_score:
                    best_score = score
                    state = copy.deepcopy(self.network.state_dict())
                    best = Fitted(state, epoch + 1, row["validation_map"])
            history.add(row)
            progress.set_postfix({name: f"{value:.4f}" for name, value in row.items() if name != "epoch"})
        assert best is not None  # the last epoch is always validated
        return best

    def prime(self) -> None:
        """Give the method the network's initial outputs for the training set; call once, before the first epoch."""
        self.method.prime(outputs_of(self.network, self.images), self.labels)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch.

        Args:
            epoch: the number of the epoch, counted from 0.

        Returns:
            ``epoch`` counted from 1, ``learning_rate`` at the start of the epoch, and the mean of each loss.

        Raises:
            Diverged: the loss is not finite.
        """
        self.network.train()
        self.method.start_epoch(epoch)
        order = torch.randperm(len(self.images), generator=self.generator, device=self.device)
        order = order[: self.epoch_size]
        sums: dict[str, Tensor] = {}
        rate = self.optimizer.param_groups[0]["lr"]
        batches = list(torch.split(order[: self.batches * self.batch_size], self.batch_size))
        for indices, images in zip(batches, self.images.batches(batches), strict=True):
            for name, value in self._step(indices, images).items():
                sums[name] = sums[name] + value if name in sums else value
        self.method.end_epoch(epoch)
        totals = torch.stack(list(sums.values())).tolist()
        means = {name: total / self.batches for name, total in zip(sums, totals, strict=True)}
        if not math.isfinite(means["loss"]):
            raise Diverged(
                f"training: the loss is {means['loss']} in epoch {epoch + 1}; "
                "lower training.optimizer.learning_rate or the quantizer's weight"
            )
        return {"epoch": epoch + 1, "learning_rate": rate, **means}

    def batch(self, indices: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the method's losses get of a batch: outputs of random views, labels (or features), and indices.

        Args:
            indices: (b,) positions in the training set.
            images: their images, or features.

        Returns:
            u (v b, K), labels (v b, C), indices (v b,) with v views, see ``Method``. Two views of an image differ where
            features of several views are stored; of one stored view they are the same but for dropout.
        """
        views = self.random_views(images, self.generator, self.method.views)
        u = self.network(torch.cat(views) if len(views) > 1 else views[0])
        labels = first_view(images) if self.method.supervision == "features" else self.labels[indices]
        if len(views) == 1:
            return u, labels, indices
        return u, labels.repeat(len(views), 1), indices.repeat(len(views))

    def _step(self, indices: Tensor, images: Tensor) -> dict[str, Tensor]:
        batch = self.batch(indices, images)
        parts = losses(self.method, self.quantizer, self.quantizer_name, batch, self.of_quantizer)
        self.optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return {name: value.detach() for name, value in parts.items()}
