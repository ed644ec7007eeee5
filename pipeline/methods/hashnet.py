"""``hashnet``: deep learning to hash by continuation (Cao, Long, Wang & Yu, ICCV 2017)."""

import torch
from torch import Tensor

from pipeline.methods import Method
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.pairs import balance_weights, likelihood, weighted
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class HashNet(Method):
    """Weighted pairwise likelihood of tanh codes; the tanh gets steeper with the epochs and approaches the sign.

    With relaxed codes h = tanh(beta u) and theta_ij = a h_i . h_j, the loss is (eq. 4)

        sum_ij w_ij (log(1 + exp theta_ij) - s_ij theta_ij)

    Weights (eq. 2) balance the similar pairs S1 and the dissimilar pairs S0 among all pairs S:

        w_ij = c_ij |S| / |S1|   if similar, c_ij = |y_i & y_j| / |y_i or y_j|, shared labels among all
        w_ij =      |S| / |S0|   otherwise

    Continuation (section 3.2): beta grows during training, so codes become discrete without a quantization
    term: the own term is zero. Here beta is the first epoch's times (1 + epoch // step) ^ power, with epochs
    counted from 0; the authors' code also increases beta by a square root. Continuation is active with every
    quantizer, because it is part of the relaxed code.

    A batch is compared with a bank of the latest outputs of the whole training set, including the batch's own,
    so j runs over all images as in the paper. |S1| and |S0| are counted in that (b, n) block. The sum is
    divided by the number of pairs, b n. If both kinds occur, the loss is the similar pairs' mean (of c times
    the term) plus the dissimilar pairs' mean. If one kind is missing, the other's weight is 1 (times c).

    Deviations: (1) the bank, which starts with the network's initial outputs for the training set; the
    authors' code pairs two batches. Entries are up to one epoch old and have no gradient. They are raw
    outputs, so all are relaxed with the current beta. (2) The slope a is ``alpha / K``, as in the authors'
    code, so one value works for all code lengths. (3) Each beta lasts ``step`` epochs; the paper trains to
    convergence at each.

    Args:
        alpha: slope of the likelihood over the mean product of two codes' bits, h_i . h_j / K; 10 in the
            authors' code.
        beta: slope of the tanh in the first epoch.
        step: epochs between two increases of beta.
        power: how fast beta grows; 0 keeps it constant.
    """

    relaxed: Tensor

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
        self.register_buffer("relaxed", torch.zeros(num_train, code_length))

    def relax(self, u: Tensor) -> Tensor:
        return torch.tanh(self.beta * u)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u, labels = u.to(self.bank.dtype), labels.to(self.bank.dtype)
        self.bank.put(indices, u)
        h = self.relax(u)
        self.relaxed[indices] = h.detach()
        slope = self.alpha / self.code_length
        return likelihood(slope * h, self.relaxed, self._weights(labels), self.bank.sets.of)

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(u, labels)
        self._relax_bank()

    def start_epoch(self, epoch: int) -> None:
        self.beta = self.first_beta * (1 + epoch // self.step) ** self.power
        self._relax_bank()

    def _relax_bank(self) -> None:
        # Beta is constant within an epoch, so a step relaxes only the outputs of its batch.
        self.relaxed.copy_(self.relax(self.bank.outputs))

    def _weights(self, labels: Tensor) -> Tensor:
        """w_ij, signed, (G, b), from the number of labels that each pair shares."""
        sets = self.bank.sets
        shared = sets.shared(labels)
        either = sets.labels.sum(dim=1, keepdim=True) + labels.sum(dim=1) - shared
        for_similar, for_dissimilar = balance_weights(shared, sets.sizes)
        return weighted(shared, shared / either.clamp(min=1) * for_similar, for_dissimilar)
