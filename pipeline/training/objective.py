"""The total loss: the weighted sum of a method's and a quantizer's terms."""

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
    """Compute the total loss of a batch and its parts.

    The total is the similarity loss, plus ``own_weight`` times the method's own quantization term, plus ``weight``
    times the quantizer's term. A term with weight 0 is not computed.

    Args:
        method: the method.
        quantizer: the quantizer.
        name: the quantizer's name; its unweighted term is returned under it.
        batch: raw outputs u (b, K), labels (b, C), indices (b,); see ``Method`` for methods without labels, and for
            those that compare two views of each image.
        generator: source of the quantizer's random targets.

    Returns:
        0-dim tensors: ``loss`` (the total, with gradient), ``similarity``, and the unweighted ``own_quantization``
        and quantizer term if their weights are not 0.

    Raises:
        UserError: a shape doesn't match the method's code length and number of classes, or the other shapes.
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
    """Check only shapes: reading a value would make every step wait for the GPU."""
    if u.ndim != 2 or u.shape[1] != method.code_length:
        raise UserError(f"u must be (b, {method.code_length}), found shape {tuple(u.shape)}")
    expected = (len(u), labels.shape[-1] if method.supervision == "features" else method.num_classes)
    if labels.shape != expected:
        raise UserError(f"labels must be {expected} like u and the classes, found shape {tuple(labels.shape)}")
    if indices.shape != (len(u),):
        raise UserError(f"indices must be {(len(u),)} like u, found shape {tuple(indices.shape)}")
