"""``idhn``: improved deep hashing network for images with several labels (Zhang, Zou, Lin, Chen & Wang, TMM 2020)."""

from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.pairs import likelihood
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class IDHN(Method):
    """Pairwise likelihood where two images share all labels or none, and a regression of their similarity elsewhere.

    The similarity of two images is the cosine of their label vectors, s_ij in [0, 1]. With h = u / (1 + |u|) and
    theta_ij = alpha h_i . h_j, a pair's cost is

        log(1 + exp theta_ij) - s_ij theta_ij                       if s_ij is 0 or 1
        (gamma / K) ((h_i . h_j + K) / 2 - s_ij K)^2                otherwise

    Here it is averaged over pairs. The method's own term is quantization * mean_i mean_k | |h_ik| - 1 |.

    A batch is compared with a bank of the latest codes of the whole training set, as in a public implementation
    (https://github.com/swuxyj/DeepHash-pytorch).

    Deviations: (1) the bank starts with the network's initial outputs for the training set. (2) The public
    implementation regresses theta_ij + K - 2 s_ij K with alpha = 1/2, whose optimum is twice as large as a code can
    reach; here it is the paper's term, from memory, since its text was not available. It also leaves out 1/K from the
    weight of this term. (3) If all images have one label, all pairs are of the first kind, and the method is a
    likelihood with softsign codes.

    Args:
        alpha: slope of the likelihood.
        gamma: weight of the regression, times K.
        quantization: lambda, weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        alpha: Positive = 0.5,
        gamma: NonNegative = 0.1,
        quantization: NonNegative = 0.1,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.alpha, self.gamma, self.quantization = alpha, gamma, quantization
        self.bank = Bank(num_train, code_length, num_classes)
        self.has_soft_pairs = True

    def relax(self, u: Tensor) -> Tensor:
        return functional.softsign(u)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        h, labels = self.relax(u.to(self.bank.dtype)), labels.to(self.bank.dtype)
        self.bank.put(indices, h)
        sets = self.bank.sets
        similarity, hard = self._similarity(labels)
        loss = likelihood(self.alpha * h, self.bank.outputs, hard * (1 - 2 * similarity.round()), sets.of)
        if not self.has_soft_pairs:
            return loss
        target, soft = self.code_length * (similarity - 0.5), 1 - hard
        error = self.bank.outputs @ h.T / 2 - target[sets.of]
        return loss + self.gamma / self.code_length * (soft[sets.of] * error.square()).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.quantization * (self.relax(u.to(self.bank.dtype)).abs() - 1).abs().mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(self.relax(u), labels)
        _, hard = self._similarity(self.bank.sets.labels)
        self.has_soft_pairs = bool((hard == 0).any())

    def _similarity(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """s (G, b) of each label set and image, and 1.0 where it is 0 or 1."""
        sets = self.bank.sets
        shared = sets.shared(labels)
        product = sets.labels.sum(dim=1, keepdim=True) * labels.sum(dim=1)
        # Exact, since these are small whole numbers. Images without labels are similar to none.
        hard = (shared == 0) | (shared.square() == product)
        return shared / product.clamp(min=1).sqrt(), hard.to(shared.dtype)
