"""The pairwise likelihood of a batch and other images, with a weight for each pair."""

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Pairs of a block on a CPU. Their psi, 1 MiB in float32, stay in the cache from one product to the next.
_BLOCK = 1 << 18
# Pairs that torch computes in about a millisecond; loading the compiled code takes 0.5 s.
_SMALL = 1 << 18


def likelihood(codes: Tensor, others: Tensor, weights: Tensor, sets: Tensor, margin: float = 0.0) -> Tensor:
    """Weighted negative log-likelihood of pairs, mean_ij |w_ij| (log(1 + exp psi_ij) - s_ij psi_ij).

    The model is P(s_ij = 1) = sigmoid(psi_ij) with psi_ij = codes_i . others_j (Li et al. 2016, DPSH, eq. 2). The cost
    of a similar pair is log(1 + exp -psi), that of a dissimilar pair log(1 + exp psi), so the sign of a weight can
    say which one it is. All images of a label set have the same weights. A margin is added to both exponents.

    Gradients go to ``codes`` and ``others``. They are computed together with the cost, so no (b, n) matrix is kept for
    the backward pass. They can't be differentiated again.

    Args:
        codes: (b, K).
        others: (n, K).
        weights: (G, b), of each label set and each image of the batch; see ``signed`` and ``weighted``.
        sets: (n,) int64, the label set of each of the others.
        margin: how far psi has to be on the right side of 0.

    Returns:
        A 0-dim tensor.
    """
    cost: Tensor = _Likelihood.apply(codes, others, weights, sets, margin)
    return cost


def signed(alike: Tensor) -> Tensor:
    """The weights -1 where ``alike`` (G, b), numbers of shared labels, is not 0, else +1."""
    return torch.rsub(alike.clamp(max=1), 1, alpha=2)


def weighted(alike: Tensor, for_similar: Tensor, for_dissimilar: Tensor) -> Tensor:
    """The weights -``for_similar`` where ``alike`` (G, b) is not 0, else +``for_dissimilar``; all of one precision."""
    # Exact at both ends, and on a CPU four times as quick as torch.where.
    return torch.lerp(for_dissimilar, -for_similar, alike.clamp(max=1))


def balance_weights(alike: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """|S| / |S1| and |S| / |S0|: weights that give similar and dissimilar pairs the same total.

    Args:
        alike: (G, b), not 0 where an image of the batch is similar to the images of a label set.
        sizes: (G,) number of images with each label set.

    Returns:
        two 0-dim tensors. A kind that doesn't occur has the weight |S|, which applies to no pair.
    """
    # Float64, because float32 can't count more than 2^24 pairs.
    sizes = sizes.double()
    total, positives = alike.shape[1] * sizes.sum(), sizes @ alike.clamp(max=1).sum(dim=1, dtype=sizes.dtype)
    counts = torch.stack([positives, total - positives]).clamp(min=1)
    for_similar, for_dissimilar = (total / counts).to(alike.dtype)
    return for_similar, for_dissimilar


class _Likelihood(torch.autograd.Function):
    """``likelihood``; on a CPU it goes through the pairs in blocks, elsewhere all pairs are one block."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, others: Tensor, weights: Tensor, sets: Tensor, margin: float) -> Tensor:
        (b, bits), n = codes.shape, len(others)
        step = min(n, max(1, _BLOCK // b)) if codes.device.type == "cpu" else n
        compute, costs, share = engine(codes, n, margin), [], 1 / (b * n)
        # (K, b), because the product is a little quicker than its transpose.
        for_codes = codes.new_zeros(bits, b)
        for_others = torch.empty_like(others) if ctx.needs_input_grad[1] else None
        for start in range(0, n, step):
            part = others[start : start + step]
            # Not by `out=` or `addmm_`: on a CPU, pipeline.encoding.portable replaces the plain product alone.
            psi = torch.mm(part, codes.T)
            costs.append(compute(psi, weights, sets[start : start + step]))
            for_codes.add_(torch.mm(part.T, psi), alpha=share)
            if for_others is not None:
                for_others[start : start + step] = share * torch.mm(psi, codes)
        ctx.save_for_backward(for_codes.T, for_others)
        return share * reduce(add, costs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        for_codes, for_others = ctx.saved_tensors
        return gradient * for_codes, None if for_others is None else gradient * for_others, None, None, None


def engine(codes: Tensor, n: int, margin: float = 0.0) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """What computes a block of pairs: compiled code on a CPU if there is enough to do, else torch.

    Args:
        codes: (b, K) or (b, b); their device and precision, and b, are used.
        n: number of rows that b is combined with.
        margin: see ``likelihood``.

    Returns:
        a function of psi (m, b), weights (G, b), sets (m,). It replaces psi by the derivative of the cost with respect
        to psi, and returns the cost, the sum over the block, a 0-dim tensor.
    """
    if codes.device.type != "cpu" or codes.dtype != torch.float32 or len(codes) * n < _SMALL:
        return partial(_cost_and_coefficients, margin=margin)
    from pipeline.methods.shared import compiled  # loads Numba

    def in_one_pass(psi: Tensor, weights: Tensor, sets: Tensor) -> Tensor:
        cost = compiled.cost_and_coefficients(psi.numpy(), weights.numpy(), sets.numpy(), np.float32(margin))
        return psi.new_full((), cost)

    return in_one_pass


def _cost_and_coefficients(psi: Tensor, weights: Tensor, sets: Tensor, margin: float) -> Tensor:
    """Replace psi (m, b) by the derivative of the cost with respect to psi, w sigmoid(z); return the cost.

    The cost is sum |w| log(1 + exp z) with z = psi + margin for dissimilar pairs (w > 0) and z = margin - psi for
    similar ones.
    """
    weight = weights.index_select(0, sets)
    z = psi.mul_(weight.sign()).add_(margin)
    cost = functional.softplus(z).mul_(weight.abs()).sum()
    z.sigmoid_().mul_(weight)
    return cost
