"""The likelihood of a batch's triplets, for ``dtsh``."""

from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.methods.shared.pairs import engine

# Triplets of a block, 4 MiB in float32.
_BLOCK = 1 << 20


def triplet_likelihood(theta: Tensor, alike: Tensor, margin: float) -> Tensor:
    """Mean over triplets of log(1 + exp(theta_in - theta_ip + margin)); 0 if there is none.

    A triplet is an image i, another image p that is similar to it, and an image n that isn't. All of a batch are taken.
    The gradient is computed together with the cost, so it can't be differentiated again.

    Args:
        theta: (b, b).
        alike: (b, b) of 1.0 for similar and 0.0 for other pairs.
        margin: how much larger theta_ip has to be.

    Returns:
        A 0-dim tensor.
    """
    cost: Tensor = _Triplets.apply(theta, alike, margin)
    return cost


class _Triplets(torch.autograd.Function):
    """On a CPU only the pairs (i, p) are gone through; elsewhere all pairs, since their number isn't known there."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, alike: Tensor, margin: float) -> Tensor:
        b, cpu = len(theta), _on_cpu(theta.device)
        others = 1 - torch.eye(b, dtype=theta.dtype, device=theta.device)
        positive, negative = alike * others, (1 - alike) * others
        anchors, partners = positive.nonzero().unbind(1) if cpu else _all_pairs(b, theta.device)
        compute, costs = engine(theta, len(anchors), margin), [theta.new_zeros(())]
        gradient = torch.zeros_like(theta)
        step = max(1, _BLOCK // b)
        for first, second in zip(torch.split(anchors, step), torch.split(partners, step), strict=True):
            psi = theta[first, second][:, None] - theta.index_select(0, first)
            if cpu:
                weights, sets = -negative, first
            else:
                weights = -negative[first] * positive[first, second][:, None]
                sets = torch.arange(len(first), device=theta.device)
            costs.append(compute(psi, weights, sets))
            gradient.index_put_((first, second), psi.sum(dim=1), accumulate=True)
            gradient.index_add_(0, first, psi, alpha=-1)
        share = 1 / (positive.sum(dim=1) @ negative.sum(dim=1)).clamp(min=1)
        ctx.save_for_backward(share * gradient)
        return share * reduce(add, costs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (of_theta,) = ctx.saved_tensors
        return gradient * of_theta, None, None


def _all_pairs(b: int, device: torch.device) -> tuple[Tensor, Tensor]:
    every = torch.arange(b, device=device)
    return every.repeat_interleave(b), every.repeat(b)


def _on_cpu(device: torch.device) -> bool:
    return device.type == "cpu"
