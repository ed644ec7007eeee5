"""``adsh``: asymmetric deep supervised hashing (Jiang & Li, AAAI 2018)."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.methods import Method, sign, similar
from pipeline.methods._descent import descend
from pipeline.runtime.ranges import NonNegative, PositiveInt

# Entries of S made at a time: what limits memory when the database's codes are solved.
_ENTRIES_AT_ONCE = 1 << 22


class ADSH(Method):
    """Codes V of all database images are solved directly; the network learns to reproduce their similarities.

    With h_i = tanh(u_i) for the images of a subset Omega of the database, drawn anew for each epoch, and
    v_j in {-1, +1}^K for all n images of the database, the paper minimises (its J(Theta, V))

        sum_{i in Omega} sum_j (h_i . v_j - K S_ij)^2  +  gamma sum_{i in Omega} |v_i - h_i|^2

    by turns: the network by gradient over Omega, then V by one pass of discrete cyclic coordinate descent.
    With U the outputs h of Omega, and U_bar the same with rows of 0 for all other images,

        Q = - 2 K S^T U - 2 gamma U_bar        v_{.k} = - sign(2 V_hat U_hat^T u_{.k} + Q_{.k})

    where V_hat and U_hat lack column k: each step is the exact minimum over bit k of all n codes.

    Normalisation: the first sum is the similarity loss, the second the own quantization term. As in the
    authors' code both are divided by b n (b images in the batch), and here by K^2 as well, so ``gamma`` means
    the same as in the paper and the total stays in one range at every n and K.

    Deviations: (1) ``similarity: balanced`` is what the authors' code does and the paper doesn't say: S_ij is
    1 where labels overlap, else -r with r such that a row of S sums to 0 (their r is that of the whole
    matrix, the same where classes are equally large). ``signed`` is the paper's S in {-1, +1}. (2) the
    network passes over Omega once between two updates of V; their code does so three times. (3) V starts from
    a pass over the database with the untrained network and one update, not from 0 as there, which would hold
    the first Omega back. (4) validation images are left out of the database while training, and both queries
    and database are encoded by the network in the end; the paper keeps V for the database. (5) a quantizer's
    ``own_weight`` scales the network's part of gamma |v - h|^2; the update of V goes by ``gamma`` alone.

    Memory: O(n (K + C)), plus a block of at most 4 million entries of S (or one row of n) in V's update
    and b n in a batch.

    Args:
        gamma: weight of |v - h|^2, in the paper's units.
        sample: images of Omega; all where there are fewer. With a last batch that isn't full, as many as were
            visited.
        similarity: what S is for images without a common label.
    """

    trains_on = "database"

    codes: Tensor
    outputs: Tensor
    visited: Tensor
    database_labels: Tensor

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        gamma: NonNegative = 200.0,
        sample: PositiveInt = 2000,
        similarity: Literal["balanced", "signed"] = "balanced",
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.gamma, self.sample, self.similarity = gamma, sample, similarity
        self.register_buffer("codes", torch.ones(num_train, code_length))
        self.register_buffer("outputs", torch.zeros(num_train, code_length))
        self.register_buffer("visited", torch.zeros(num_train, dtype=torch.bool))
        self.register_buffer("database_labels", torch.zeros(num_train, num_classes))

    def epoch_size(self, num_train: int) -> int:
        return min(self.sample, num_train)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        h = self.relax(u.to(self.codes.dtype))
        self.outputs[indices] = h.detach()
        self.visited[indices] = True
        self.database_labels[indices] = labels.to(self.database_labels.dtype)
        inner = h @ self.codes.T / self.code_length
        return (inner - self._similarities(labels)).square().mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        squared = (self.codes[indices] - self.relax(u.to(self.codes.dtype))).square().sum(dim=1)
        return self.gamma / (self.num_train * self.code_length**2) * squared.mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.outputs.copy_(self.relax(u))
        self.codes.copy_(sign(u))
        self.database_labels.copy_(labels)
        # Every so many images rather than drawn ones: a database is often in order of class.
        self.visited[:: -(-self.num_train // self.sample)] = True
        self._update_codes()

    def start_epoch(self, epoch: int) -> None:
        self.visited.fill_(False)

    def end_epoch(self, epoch: int) -> None:
        self._update_codes()

    @torch.no_grad()
    def _update_codes(self) -> None:
        """V given the outputs of the visited images: one pass over the bits."""
        descend(self.codes, *self._terms())

    def _terms(self) -> tuple[Tensor, Tensor]:
        """What V's update needs of Omega: -Q/2, (n, K), and U^T U with a diagonal of 0, (K, K)."""
        omega = self.visited.nonzero().squeeze(1)
        u = self.outputs[omega]
        target = self.gamma * self.outputs * self.visited[:, None]
        step = max(1, _ENTRIES_AT_ONCE // self.num_train)
        for start in range(0, len(omega), step):
            part = omega[start : start + step]
            similarities = self._similarities(self.database_labels[part])
            target += self.code_length * (similarities.T @ self.outputs[part])
        return target, (u.T @ u).fill_diagonal_(0)

    def _similarities(self, labels: Tensor) -> Tensor:
        """S between images with these labels and the whole database, (b, n)."""
        same = similar(labels.to(self.database_labels.dtype), self.database_labels)
        if self.similarity == "signed":
            return 2 * same - 1
        alike = same.sum(dim=1, keepdim=True)
        ratio = alike / (self.num_train - alike).clamp(min=1)
        return same * (1 + ratio) - ratio
