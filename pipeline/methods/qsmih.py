"""``qsmih``: hashing by quadratic spherical mutual information (Passalis & Tefas, SPIC 2021)."""

from torch import Tensor

from pipeline.methods import Method, direction, exact, similar
from pipeline.runtime.ranges import NonNegative, PositiveInt


class QSMIH(Method):
    """Maximises the quadratic mutual information of codes and labels, where cosines replace the Gaussian kernel.

    Signal Processing: Image Communication, volume 93; arXiv 1901.05135.

    With q_ij = (1 + cos(u_i, u_j)) / 2, D_ij = 1 for similar and 0 for other pairs, and M = b^2 / sum_ij D_ij, the
    paper's loss with square clamping is, over the pairs of a batch,

        sum_ij (D_ij q_ij - 1)^2 + q_ij^2 / M

    The cost of a similar pair is least at q = M / (M + 1), the cosine (M - 1) / (M + 1), which is nearer to 1 the fewer
    pairs are similar. That of another pair is least at the cosine -1, and its weight 1 / M is smaller then. The
    method's own term is

        quantization * mean_i mean_k | |u_ik| - 1 |

    The first sum is a mean over pairs here. The authors' code (https://github.com/passalis/qsmi) has sums in both, so
    its alpha for batches of b images is b ``quantization`` / K.

    Deviations: D comes from shared labels, also for images with several labels; the paper has one label an image.
    Another public implementation (https://github.com/swuxyj/DeepHash-pytorch) applies the own term to outputs of length
    1.

    Args:
        quantization: weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        quantization: NonNegative = 0.01,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.quantization = quantization

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        unit = direction(u)
        nearness = (1 + unit @ unit.T) / 2
        alike = similar(labels, labels).to(nearness.dtype)
        return ((alike * nearness - 1).square() + alike.mean() * nearness.square()).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.quantization * (exact(u).abs() - 1).abs().mean()
