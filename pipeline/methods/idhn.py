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
    theta_ij = (alpha / K) h_i . h_j, a pair's cost is

        log(1 + exp theta_ij) - s_ij theta_ij                       if s_ij is 0 or 1
        (gamma / K) ((h_i . h_j + K) / 2 - s_ij K)^2                otherwise

    Here it is averaged over pairs. The method's own term is quantization * mean_i mean_k | |h_ik| - 1 |.

    The source of the equations and defaults is the authors' code (https://github.com/pectinid16/IDHN, train.py), since
    the paper's text was not available.

    Deviations: (1) a batch is compared with a bank of the latest codes of the whole training set, as in another
    implementation (https://github.com/swuxyj/DeepHash-pytorch); the authors compare the images of a batch with each
    other. The bank starts with the network's initial outputs for the training set. (2) Codes of the bank get no
    gradient, so a pair has half of its gradient. The default weight of the own term is therefore half of the authors'
    0.1; with 0.1 here it can hold codes at their initial signs. (3) The authors also treat pairs with s_ij < 0.01 or
    s_ij > 0.99 as if it were 0 or 1, which matters for images with about 50 labels or more.

    Not followed in that other implementation: its slope is 1/2 at every code length, so theta_ij may be as large as
    K / 2; it regresses theta_ij + K - 2 s_ij K, whose optimum is twice as large as a code can reach; and it leaves 1/K
    out of the weight of this term.

    If all images have one label, all pairs are of the first kind, and the method is a likelihood with softsign codes.

    Args:
        alpha: slope of the likelihood, times K, so the largest theta_ij. The authors call it belta.
        gamma: weight of the regression, times K.
        quantization: weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        alpha: Positive = 5.0,
        gamma: NonNegative = 0.1,
        quantization: NonNegative = 0.05,
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
        sets, slope = self.bank.sets, self.alpha / self.code_length
        similarity, hard = self._similarity(labels)
        loss = likelihood(slope * h, self.bank.outputs, hard * (1 - 2 * similarity.round()), sets.of)
        if not self.has_soft_pairs:
            return loss
        target, soft = self.code_length * (similarity - 0.5), 1 - hard
        error = self.bank.outputs @ h.T / 2 - target[sets.of]
        return loss + self.gamma / self.code_length * (soft[sets.of] * error.square()).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.quantization * (self.relax(u.to(self.bank.dtype)).abs() - 1).abs().mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(self.relax(u), labels)
        # The sets are distinct, so two that share a label have 0 < s < 1. Their pairs are too many to go through.
        self.has_soft_pairs = bool((self.bank.sets.labels.sum(dim=0) > 1).any())

    def _similarity(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """s (G, b) of each label set and image, and 1.0 where it is 0 or 1."""
        sets = self.bank.sets
        shared = sets.shared(labels)
        product = sets.labels.sum(dim=1, keepdim=True) * labels.sum(dim=1)
        # Exact, since these are small whole numbers. Images without labels are similar to none.
        hard = (shared == 0) | (shared.square() == product)
        return shared / product.clamp(min=1).sqrt(), hard.to(shared.dtype)
