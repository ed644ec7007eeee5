"""``hashnet``: deep learning to hash by continuation (Cao, Long, Wang & Yu, ICCV 2017)."""

import torch
from torch import Tensor

from pipeline.methods import Method
from pipeline.methods._bank import Bank
from pipeline.methods._pairs import balance_weights, pairwise_cost
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class HashNet(Method):
    """Weighted pairwise likelihood of codes whose tanh grows steeper, epoch by epoch, towards the sign.

    With relaxed codes h = tanh(beta u) and theta_ij = a h_i . h_j, the loss is (eq. 4)

        sum_ij w_ij (log(1 + exp theta_ij) - s_ij theta_ij)

    Weights (eq. 2) balance the two kinds of pairs, S1 similar and S0 dissimilar ones among S:

        w_ij = c_ij |S| / |S1|   where similar, c_ij = |y_i & y_j| / |y_i or y_j|, shared labels among all
        w_ij =      |S| / |S0|   otherwise

    Continuation (section 3.2): beta grows over training, so codes become discrete without a quantization
    term. Here its factor over the first epoch is (1 + epoch // step) ^ power, with epochs counted from 0;
    the authors' code grows it by a square root too. It stays on under every quantizer: it is part of the
    relaxed code.

    A batch meets a bank of the whole training set's latest outputs, its own among them, so j runs over all
    images as in the paper, and |S1| and |S0| are counted in that (b, n) block. The sum is divided by the
    number of pairs, b n: where both kinds occur, the loss is the similar pairs' mean (of c times the term)
    plus the dissimilar pairs' mean. Where one kind is missing, the other's weight is 1 (times c).

    Deviations: (1) the bank, and its start from a real pass over the training set; the authors' code pairs
    two batches. Entries lag by up to an epoch and have no gradient; they are raw outputs, so all are relaxed
    with the current beta. (2) the slope a is ``alpha / K``, as the authors' code sets it, so one value
    serves all code lengths. (3) each beta lasts ``step`` epochs; the paper trains to convergence at each.

    Args:
        alpha: slope of the likelihood over the mean product of two codes' bits, h_i . h_j / K; the
            authors' code has 10.
        beta: slope of the tanh in the first epoch.
        step: epochs between two increases of beta.
        power: how fast beta grows; 0 keeps it as it is.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        alpha: Positive = 5.0,
        beta: Positive = 1.0,
        step: PositiveInt = 1,
        power: NonNegative = 0.5,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.alpha, self.first_beta, self.step, self.power = alpha, beta, step, power
        self.beta = beta
        self.bank = Bank(num_train, code_length, num_classes)

    def relax(self, u: Tensor) -> Tensor:
        return torch.tanh(self.beta * u)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u, labels = u.to(self.bank.dtype), labels.to(self.bank.dtype)
        self.bank.put(indices, u, labels)
        theta = self.alpha / self.code_length * self.relax(u) @ self.relax(self.bank.outputs).T
        shared = labels @ self.bank.labels.T
        likelihood = pairwise_cost(theta, shared > 0)
        return (self._weights(shared, labels) * likelihood).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Zero: the continuation is this method's quantization, and it is part of ``relax``."""
        return u.new_zeros((), dtype=self.bank.dtype)

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(u, labels)

    def start_epoch(self, epoch: int) -> None:
        self.beta = self.first_beta * (1 + epoch // self.step) ** self.power

    def _weights(self, shared: Tensor, labels: Tensor) -> Tensor:
        """w_ij (b, n) from the number of labels that each pair shares."""
        either = labels.sum(dim=1, keepdim=True) + self.bank.labels.sum(dim=1) - shared
        for_similar, for_dissimilar = balance_weights(shared)
        return torch.where(shared > 0, shared / either.clamp(min=1) * for_similar, for_dissimilar)
