"""``dtsh``: deep supervised hashing with triplet labels (Wang, Shi & Kitani, ACCV 2016)."""

from torch import Tensor

from pipeline.methods import Method, exact, sign, similar
from pipeline.methods.shared.triplets import triplet_likelihood
from pipeline.runtime.ranges import NonNegative, PositiveInt


class DTSH(Method):
    """Triplet likelihood: an image is more like a similar image than like another one, by a margin.

    With theta_ij = u_i . u_j / 2 and triplets (q, p, n) of an image q, a similar image p and a dissimilar image n, the
    paper minimises

        - sum_(q, p, n) log sigmoid(theta_qp - theta_qn - alpha) + lambda sum_i |sgn(u_i) - u_i|^2

    with alpha = K / 2. The paper's text was not available; theta and alpha are those of the authors' code
    (https://github.com/Minione/DTSH, DTSH.m and train_triplet.m).

    Deviations: (1) both sums are means here: the first over all triplets of the batch, the second over images and bits.
    The authors' lambda is 100 beside the sum over the 22,500 triplets of an image, K / 225 in our means: 0.07 for 16
    bits, 0.28 for 64. The default is a round number of this range. (2) The authors draw p and n from the whole training
    set, with stored outputs, and the gradient goes to u_q alone. (3) A batch without triplets has the loss 0.

    Another public implementation (https://github.com/swuxyj/DeepHash-pytorch) differs: theta without the factor 1/2,
    alpha = 5, lambda = 1 with our means, and an image is one of its own similar images. It averages over the triplets
    of each image q first and then over images; here all triplets have the same weight.

    Args:
        margin: alpha / K; 0.5 in the authors' code.
        quantization: lambda, weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        margin: NonNegative = 0.5,
        quantization: NonNegative = 0.1,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.margin, self.quantization = margin, quantization

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        alike = similar(labels, labels).to(u.dtype)
        return triplet_likelihood(u @ u.T / 2, alike, self.margin * self.code_length)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        return self.quantization * (u - sign(u.detach())).square().mean()
