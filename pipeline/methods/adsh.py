"""``adsh``: asymmetric deep supervised hashing (Jiang & Li, AAAI 2018)."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.methods import Method, sign, similar
from pipeline.methods.shared.bank import LabelSets
from pipeline.methods.shared.descent import descend
from pipeline.runtime.ranges import NonNegative, PositiveInt

# Entries of the table of similarities computed at a time; limits memory in the update of the database's codes.
_ENTRIES_AT_ONCE = 1 << 22


class ADSH(Method):
    """Solves the codes V of all database images directly; the network learns to reproduce their similarities.

    Let h_i = tanh(u_i) for the images of a subset Omega of the database, which is drawn again for each epoch,
    and v_j in {-1, +1}^K for all n images of the database. The paper minimises (its J(Theta, V))

        sum_{i in Omega} sum_j (h_i . v_j - K S_ij)^2  +  gamma sum_{i in Omega} |v_i - h_i|^2

    by alternating between two updates: the network by gradient descent over Omega, then V by one pass of
    discrete cyclic coordinate descent. With U the outputs h of Omega, and U_bar the same with rows of 0 for
    all other images,

        Q = - 2 K S^T U - 2 gamma U_bar        v_{.k} = - sign(2 V_hat U_hat^T u_{.k} + Q_{.k})

    where V_hat and U_hat lack column k. Each step is the exact minimum over bit k of all n codes.

    Normalisation: the first sum is the similarity loss, the second the own quantization term. As in the
    authors' code, both are divided by b n (b images in the batch). Here both are also divided by K^2. So
    ``gamma`` means the same as in the paper, and the total stays in one range at every n and K.

    Deviations: (1) ``similarity: balanced`` follows the authors' code and is not in the paper: S_ij is 1 where
    labels overlap, else -r with r such that a row of S sums to 0. (The authors' code computes r for the whole
    matrix, which gives the same r if classes are equally large.) ``signed`` is the paper's S in {-1, +1}.
    (2) The network passes over Omega once between two updates of V; in the authors' code it does so three
    times. (3) V is initialised by a pass over the database with the untrained network and one update. In the
    authors' code V starts from 0, which would hold back training on the first Omega. (4) Validation images are
    excluded from the database during training. After training, the network encodes both queries and database;
    the paper uses V for the database. (5) A quantizer's ``own_weight`` scales the network's part of
    gamma |v - h|^2; the update of V uses ``gamma`` alone.

    S_ij depends only on the label sets of i and j, and V is constant between two updates. So a step computes the sum
    over j from V^T V and from the sum of v_j over each of the G label sets, and never looks at V itself:

        sum_j (h . v_j - K S_ij)^2 = h (V^T V) h^T - 2 K h . (sum_j S_ij v_j) + K^2 sum_j S_ij^2

    The terms almost cancel each other where the loss is small, so they are computed in float64.

    Memory: O(n (K + C)), plus b G entries in a batch, and a block of at most 4 million entries (or one row of G) in
    the update of V. G is at most n.

    Args:
        gamma: weight of |v - h|^2, in the paper's units.
        sample: number of images in Omega; all images if the database has fewer. An incomplete last batch is
            left out, so Omega is then the images that were visited.
        similarity: how S is defined for images without a common label.
    """

    trains_on = "database"

    codes: Tensor
    outputs: Tensor
    visited: Tensor
    gram: Tensor
    sums: Tensor

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
        self.sets = LabelSets(num_train, num_classes)
        self.register_buffer("gram", torch.empty(0, dtype=torch.float64))
        self.register_buffer("sums", torch.empty(0))
        self._summarize()

    def epoch_size(self, num_train: int) -> int:
        return min(self.sample, num_train)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        h = self.relax(u.to(self.codes.dtype))
        self.outputs[indices] = h.detach()
        self.visited[indices] = True
        same, alike, ratio = self._similarities(labels)
        near, alike, ratio = (same @ self.sums).double(), alike.double(), ratio.double()
        targets = (1 + ratio) * near - ratio * self.sums.sum(dim=0)
        squares = alike + ratio.square() * (self.num_train - alike)
        scaled = h.double() / self.code_length
        total = (scaled * (scaled @ self.gram - 2 * targets)).sum() + squares.sum()
        return (total / (len(u) * self.num_train)).to(h.dtype)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        squared = (self.codes[indices] - self.relax(u.to(self.codes.dtype))).square().sum(dim=1)
        return self.gamma / (self.num_train * self.code_length**2) * squared.mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.outputs.copy_(self.relax(u))
        self.codes.copy_(sign(u))
        self.sets.find(labels)
        # Evenly spaced images instead of random ones, because a database is often sorted by class.
        self.visited[:: -(-self.num_train // self.sample)] = True
        self._update_codes()

    def start_epoch(self, epoch: int) -> None:
        self.visited.fill_(False)

    def end_epoch(self, epoch: int) -> None:
        self._update_codes()

    @torch.no_grad()
    def _update_codes(self) -> None:
        """Update V from the outputs of the visited images, in one pass over the bits."""
        descend(self.codes, *self._terms())
        self._summarize()

    def _summarize(self) -> None:
        """Keep V^T V, (K, K), and the sum of v_j over each label set, (G, K); float32 holds integers exactly."""
        self.gram = (self.codes.T @ self.codes).double()
        self.sums = self.codes.new_zeros(len(self.sets.sizes), self.code_length).index_add_(0, self.sets.of, self.codes)

    @property
    def database_labels(self) -> Tensor:
        """(n, C) multi-hot labels of the database."""
        return self.sets.of_images()

    def _terms(self) -> tuple[Tensor, Tensor]:
        """The terms of V's update that depend on Omega: -Q/2, (n, K), and U^T U with a diagonal of 0, (K, K)."""
        omega = self.visited.nonzero().squeeze(1)
        u, labels = self.outputs[omega], self.database_labels[omega]
        by_set = u.new_zeros(len(self.sets.sizes), self.code_length)
        step = max(1, _ENTRIES_AT_ONCE // len(by_set))
        for part, some in zip(torch.split(u, step), torch.split(labels, step), strict=True):
            same, _, ratio = self._similarities(some)
            by_set += same.T @ ((1 + ratio) * part) - (ratio * part).sum(dim=0)
        target = self.gamma * self.outputs * self.visited[:, None] + self.code_length * by_set[self.sets.of]
        return target, (u.T @ u).fill_diagonal_(0)

    def _similarities(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """S between images with these labels and each label set of the database, as S_ig = (1 + r_i) same_ig - r_i.

        Returns:
            ``same``, (b, G), 1 where labels overlap, else 0; the number of images of the database that are alike,
            (b, 1); r, (b, 1).
        """
        same = similar(labels.to(self.sets.labels.dtype), self.sets.labels)
        alike = same @ self.sets.sizes[:, None]
        if self.similarity == "signed":
            return same, alike, torch.ones_like(alike)
        return same, alike, alike / (self.num_train - alike).clamp(min=1)
