"""Similarity-preserving hashing methods, one file each. All are trained by the same loop."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.runtime.registry import Registry


class Method(nn.Module):
    """A hashing method: its losses on the raw outputs of the hash head, independent of the network.

    A subclass takes ``code_length``, ``num_classes``, ``num_train`` and its own hyperparameters, all by
    keyword and annotated with the ranges of ``pipeline.runtime.ranges``. The schema of params.yaml is derived
    from these annotations. Parameters that the method registers are trained together with the network.
    Variables that the method solves itself between epochs are buffers.

    Symbols: ``u`` (b, K) raw head outputs, ``labels`` (b, C) multi-hot float, ``indices`` (b,) int64 positions
    of the batch's images in the training set.

    Attributes:
        trains_on: the part of the split that is the training set: ``train``, or the whole ``database``. It never
            includes the validation images.
        training_free: ``solve`` computes the head in closed form. Such a method isn't trained, so it has no losses.
        supervision: what the losses get as ``labels``: ``labels``; ``features`` (b, D) of a frozen backbone; or
            ``nothing``, an argument that must not be read.
        views: number of random views of each image in a batch. With 2, ``u`` is (2b, K): the b images' first views,
            then their second views. ``labels`` and ``indices`` are repeated accordingly.
        batch_norm: whether a batch normalization of the outputs, with learned scale and shift of each bit, is part of
            the method.
    """

    # "database" is for methods that solve the codes of all database images during training (ADSH).
    trains_on: Literal["train", "database"] = "train"
    training_free = False
    supervision: Literal["labels", "features", "nothing"] = "labels"
    views: Literal[1, 2] = 1
    batch_norm: bool = False

    def __init__(self, *, code_length: int, num_classes: int, num_train: int) -> None:
        super().__init__()
        self.code_length = code_length
        self.num_classes = num_classes
        self.num_train = num_train

    def epoch_size(self, num_train: int) -> int:
        """Number of images that an epoch visits; all ``num_train`` by default. Each epoch draws them again."""
        return num_train

    def relax(self, u: Tensor) -> Tensor:
        """Relaxed codes in [-1, 1], (b, K); tanh by default."""
        return torch.tanh(u)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """The similarity-preserving loss; a 0-dim tensor."""
        raise NotImplementedError

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """The method's own quantization term, already weighted; a 0-dim tensor. Zero by default."""
        return exact(u).new_zeros(())

    def prime(self, u: Tensor, labels: Tensor) -> None:
        """Initialise banks from the whole training set's first outputs (n, K) and labels (n, C). No-op by default."""

    def start_epoch(self, epoch: int) -> None:
        """Update schedules before an epoch; ``epoch`` counts from 0. No-op by default."""

    def end_epoch(self, epoch: int) -> None:
        """Update discrete variables after an epoch; ``epoch`` counts from 0. No-op by default."""

    def solve(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The linear head of a method without training, see ``training_free``.

        Args:
            features: (n, D) float64 on the CPU, of the training set.
            generator: the source of all randomness.

        Returns:
            weight (K, D) and bias (K,), float64: the raw outputs are ``features @ weight.T + bias``.

        Raises:
            UserError: the features can't give so many bits.
        """
        raise NotImplementedError


_REGISTRY = Registry("pipeline.methods", "method", Method)
names = _REGISTRY.names


def create(name: str, *, code_length: int, num_classes: int, num_train: int, **hyperparameters: Any) -> Method:
    """Make the method called ``name``.

    Args:
        name: one of ``names()``.
        code_length: K, bits of a code.
        num_classes: C.
        num_train: images in the training set.
        hyperparameters: the method's own; see its file. Missing ones have the defaults there.

    Raises:
        UserError: unknown name, unknown hyperparameter, or a value out of range.

    Examples:
        >>> method = create("dhn", code_length=16, num_classes=10, num_train=100, quantization=0.5)
        >>> u, labels = torch.zeros(4, 16), torch.eye(10)[[0, 0, 1, 2]]
        >>> round(float(method.similarity_loss(u, labels, torch.arange(4))), 4)  # log 2: all codes are alike
        0.6931
    """
    given = {"code_length": code_length, "num_classes": num_classes, "num_train": num_train}
    return _REGISTRY.create(name, **given, **hyperparameters)


def kind(name: str) -> type[Method]:
    """The class of the method called ``name``, for its attributes.

    Raises:
        UserError: unknown name.
    """
    return _REGISTRY.get(name)


def similar(labels: Tensor, others: Tensor) -> Tensor:
    """s_ij: 1.0 if two images share a label, else 0.0; (b, C) and (n, C) multi-hot give (b, n)."""
    return (labels @ others.T > 0).to(labels.dtype)


def sign(x: Tensor) -> Tensor:
    """-1.0 or +1.0 by the sign of each value, with sign(0) = +1, in the precision of ``x``."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def exact(x: Tensor) -> Tensor:
    """In float32 at least: sums and differences of many numbers are too inexact in lower precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def direction(x: Tensor) -> Tensor:
    """Each row of (b, K) scaled to length 1, in float32 at least; rows near the origin stay near it."""
    return functional.normalize(exact(x), dim=1, eps=1e-6)


def off_diagonal(x: Tensor) -> Tensor:
    """(b, b) with zeros on the diagonal, which gets no gradient."""
    return x - x.diagonal().diag_embed()
