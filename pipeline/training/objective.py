"""How a method's and a quantizer's losses compose."""

import torch
from torch import Tensor

from pipeline.methods import Method
from pipeline.quantizers import Quantizer
from pipeline.runtime.errors import UserError

Parts = dict[str, Tensor]


def losses(
    method: Method,
    quantizer: Quantizer,
    name: str,
    batch: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator,
) -> Parts:
    """The total loss of a batch and its parts, each under its own name.

    ``total = similarity`` plus ``own_weight`` times the method's own quantization term, where the quantizer keeps it,
    plus ``weight`` times the quantizer's term, where it has one.

    Args:
        name: the quantizer's name; its unweighted term is logged under it.
        batch: raw outputs u (b, K), labels (b, C), indices (b,).
        generator: randomness of the quantizer's targets.

    Returns:
        0-dim tensors ``loss`` (the total, with gradient), ``similarity``, and ``own_quantization`` and the
        quantizer's part where they count.

    Raises:
        UserError: a shape doesn't fit the method's code length and classes, or the other shapes.
    """
    u, labels, indices = batch
    _check_shapes(method, u, labels, indices)
    parts = {"similarity": method.similarity_loss(u, labels, indices)}
    total = parts["similarity"]
    if quantizer.own_weight:
        parts["own_quantization"] = method.quantization_loss(u, labels, indices)
        total = total + quantizer.own_weight * parts["own_quantization"]
    if quantizer.weight:
        given = u if quantizer.input == "raw" else method.relax(u)
        parts[name] = quantizer(given, generator=generator)
        total = total + quantizer.weight * parts[name]
    return {"loss": total, **parts}


def _check_shapes(method: Method, u: Tensor, labels: Tensor, indices: Tensor) -> None:
    """Shapes alone, for all methods: looking at a value would make every step wait for the GPU."""
    if u.ndim != 2 or u.shape[1] != method.code_length:
        raise UserError(f"u must be (b, {method.code_length}), found shape {tuple(u.shape)}")
    expected = (len(u), method.num_classes)
    if labels.shape != expected:
        raise UserError(f"labels must be {expected} like u and the classes, found shape {tuple(labels.shape)}")
    if indices.shape != (len(u),):
        raise UserError(f"indices must be {(len(u),)} like u, found shape {tuple(indices.shape)}")
