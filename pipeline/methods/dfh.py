"""``dfh``: deep Fisher hashing (Li, Pei, Zha & van Gemert, BMVC 2019)."""

import torch
from torch import Tensor

from pipeline.methods import Method, sign
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.pairs import likelihood, signed
from pipeline.runtime.ranges import NonNegative, PositiveInt

#: Gradient descent on the centers: number of steps, the highest rate, and at which steps, from 0, it falls to a tenth.
STEPS, RATE, FALLS = 200, 0.03, (149, 179)


class DFH(Method):
    """Pairwise likelihood with a margin, and codes near binary class centers that are far from each other.

    With psi_ij = u_i . u_j / 2, the pairwise loss is the mean over pairs of

        log(1 + exp(m - psi_ij)) for similar pairs, log(1 + exp(m + psi_ij)) for others

    The own term is eta mean_i mean_k (b_ik - u_ik)^2, with the codes b_i = sgn(u_i + mu C y_i), where C (K, C) are
    signs of relaxed centers V. These minimise, by gradient descent from 0 with sgn(0) = 0,

        mean_ik (V y_i - b_i)_k^2 + inter mean_cd (V^T V - K (2 I - 1))_cd^2 + nu mean (V - sgn V)^2

    The source is the paper's abstract, the authors' code
    (https://github.com/liyunqianggyn/Push-for-Quantization-Deep-Fisher-Hashing) and another implementation
    (https://github.com/swuxyj/DeepHash-pytorch), whose weights are the defaults. As in both, a batch is compared with a
    bank of the latest outputs of the whole training set.

    The two differ, and the second is followed, because its likelihood has the margin that the abstract describes. The
    authors' code has mu = 1 and leaves out the margin; it divides the labels of an image by their number, so V y_i is
    the mean of the image's centers and not their sum; it gets C by discrete coordinate descent, with the relaxation
    above as an alternative.

    Deviations: (1) centers are computed between epochs from all training images; both implementations compute them
    after each batch, from this batch's images. (2) The rate of a step is never above the inverse of a bound on the
    curvature; the constant rate of the implementations diverges with many bits, few classes or a large ``inter``.
    (3) The bank starts with the network's initial outputs for the training set.

    Args:
        margin: m.
        mu: how much an image's centers count for its code.
        inter: weight of the distances between centers.
        nu: weight of the distance of relaxed centers to binary ones.
        eta: weight of the own term.
    """

    relaxed_centers: Tensor

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        margin: NonNegative = 3.0,
        mu: NonNegative = 0.1,
        inter: NonNegative = 1.0,
        nu: NonNegative = 1.0,
        eta: NonNegative = 0.5,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.margin, self.mu, self.inter, self.nu, self.eta = margin, mu, inter, nu, eta
        self.bank = Bank(num_train, code_length, num_classes)
        self.register_buffer("relaxed_centers", torch.zeros(code_length, num_classes))

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u, labels = u.to(self.bank.dtype), labels.to(self.bank.dtype)
        self.bank.put(indices, u)
        sets = self.bank.sets
        return likelihood(u / 2, self.bank.outputs, signed(sets.shared(labels)), sets.of, self.margin)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = u.to(self.bank.dtype)
        return self.eta * (self._codes(u.detach(), labels.to(u.dtype)) - u).square().mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(u, labels)
        self.relaxed_centers.zero_()
        self._solve()

    def end_epoch(self, epoch: int) -> None:
        self._solve()

    def _codes(self, u: Tensor, labels: Tensor) -> Tensor:
        # A center that isn't known yet, 0, has no influence.
        return sign(u + self.mu * labels @ self.relaxed_centers.sign().T)

    @torch.no_grad()
    def _solve(self) -> None:
        """Update the relaxed centers, given the codes of all training images."""
        labels, centers = self.bank.labels, self.relaxed_centers
        bits, classes = centers.shape
        codes = self._codes(self.bank.outputs, labels)
        gram, sums = labels.T @ labels, codes.T @ labels
        wanted = bits * (2 * torch.eye(classes, dtype=gram.dtype, device=gram.device) - 1)
        for step in range(STEPS):
            products = centers.T @ centers
            excess = products - wanted
            intra = 2 / codes.numel() * (centers @ gram - sums)
            inter = 4 / classes**2 * centers @ excess
            # torch's sign is 0 at 0: a center that isn't known yet is not pulled to +1.
            binary = 2 / centers.numel() * (centers - centers.sign())
            # At least the largest eigenvalue of the Hessian. That of the second term maps a change D of V to
            # 4 / C^2 (D excess + V (D^T V + V^T D)). Frobenius norms, and the trace of `gram`, bound eigenvalues.
            curvature = 2 / codes.numel() * gram.trace() + 2 / centers.numel() * self.nu
            curvature += self.inter * 4 / classes**2 * (2 * products.norm() + excess.norm())
            rate = (1 / curvature).clamp(max=RATE / 10 ** sum(step >= fall for fall in FALLS))
            centers -= rate * (intra + self.inter * inter + self.nu * binary)
