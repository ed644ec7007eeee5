"""``dsh``: deep supervised hashing (Liu, Wang, Shan & Chen, CVPR 2016)."""

from torch import Tensor

from pipeline.methods import Method, exact
from pipeline.methods.shared.contrast import contrast
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class DSH(Method):
    """Contrastive: outputs of similar images meet, those of others stay a margin apart.

    The paper minimises over pairs (i, j), with y = 0 for similar and 1 for other pairs,

        (1 - y)/2 |u_i - u_j|^2 + y/2 max(m - |u_i - u_j|^2, 0) + alpha (| |u_i| - 1 |_1 + | |u_j| - 1 |_1)

    with m = 2K. The sum over pairs is a mean here, over pairs i != j of the batch, and everything is divided by K, so
    that weights mean the same at every code length. The own term, alpha over both images of a pair, becomes 2 alpha
    mean_i mean_k | |u_ik| - 1 |.

    The formula is from memory and the public implementation (https://github.com/swuxyj/DeepHash-pytorch).

    Deviations: a batch without pairs has the loss 0. The public implementation compares a batch with stored outputs of
    the whole training set; the paper takes the pairs of a batch, as is done here.

    Args:
        margin: m / K, squared distance per bit that dissimilar images keep; 2 in the paper.
        alpha: weight of the own term; 0.01 in the paper.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        margin: Positive = 2.0,
        alpha: NonNegative = 0.01,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.margin, self.alpha = margin, alpha

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return contrast(exact(u), labels, self.margin)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return 2 * self.alpha * (exact(u).abs() - 1).abs().mean()
