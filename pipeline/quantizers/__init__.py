"""Quantizers: loss terms that make codes discrete and balanced, one file each."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.runtime.errors import UserError
from pipeline.runtime.registry import Registry


class Quantizer(nn.Module):
    """A term that is added to a method's similarity loss.

    A subclass takes its hyperparameters by keyword, annotated with the ranges of ``pipeline.runtime.ranges``. The
    schema of params.yaml is derived from these annotations.

    Attributes:
        own_weight: factor of the method's own quantization term; 0 if the quantizer replaces this term.
        weight: factor of the quantizer's term in the total loss; 0 if it adds no term.
        input: what ``forward`` gets: ``relaxed`` codes or ``raw`` outputs.
    """

    own_weight: float = 0.0
    weight: float = 0.0
    input: str = "relaxed"

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The unweighted term.

        Args:
            u: (b, K) relaxed codes or raw outputs, depending on ``input``.
            targets: (b, K) of -1/+1 to compare with; drawn from ``generator`` if None.
            generator: source of all randomness, on the device of ``u``; the global generator is never used.

        Returns:
            a 0-dim tensor.

        Raises:
            UserError: ``u`` isn't (b, K), ``targets`` has another shape, or neither targets nor generator is
                given where the term needs targets.
        """
        raise NotImplementedError


#: ``pipeline.training.setting`` gives these names another meaning.
_REGISTRY = Registry("pipeline.quantizers", "quantizer", Quantizer, reserved=("batch_size", "learning_rate"))
names = _REGISTRY.names


def create(name: str, **hyperparameters: Any) -> Quantizer:
    """Make the quantizer called ``name``.

    Args:
        name: one of ``names()``.
        hyperparameters: the quantizer's own; see its file. Missing ones have the defaults there.

    Raises:
        UserError: unknown name, unknown hyperparameter, or a value out of range.

    Examples:
        >>> hswd = create("hswd", weight=0.2)
        >>> targets = torch.tensor([[1.0], [-1.0]])
        >>> float(hswd(torch.tensor([[-1.0], [1.0]]), targets=targets))  # sorted, they are the targets
        0.0
    """
    return _REGISTRY.create(name, **hyperparameters)


def check_shape(u: Tensor) -> None:
    """Check the shape of a quantizer's input.

    Raises:
        UserError: ``u`` isn't (b, K).
    """
    if u.ndim != 2:
        raise UserError(f"u must be (b, K), found shape {tuple(u.shape)}")


def uniform_targets(u: Tensor, targets: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Check ``targets``, or draw them uniformly from {-1, +1}^K (equation 2 of the WR paper).

    Args:
        u: (b, K) outputs or codes.
        targets: (b, K) of -1/+1, or None to draw them.
        generator: draws the targets; may be None if ``targets`` are given.

    Returns:
        (b, K), with the device and dtype of ``u``.

    Raises:
        UserError: ``u`` isn't (b, K), ``targets`` has another shape, or neither targets nor generator is given.
    """
    check_shape(u)
    if targets is None:
        if generator is None:
            raise UserError("give targets, or a torch.Generator to draw them from")
        drawn = torch.randint(0, 2, u.shape, generator=generator, device=generator.device)
        return (2 * drawn - 1).to(device=u.device, dtype=u.dtype)
    if targets.shape != u.shape:
        raise UserError(f"targets must be {tuple(u.shape)} like u, found {tuple(targets.shape)}")
    return targets.to(device=u.device, dtype=u.dtype)
