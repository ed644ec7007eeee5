"""``csq``: central similarity quantization (Yuan et al., CVPR 2020)."""

from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method
from pipeline.methods.shared.centers import Targets, hash_centers
from pipeline.runtime.ranges import NonNegative, PositiveInt, Seed


class CSQ(Method):
    """Pulls every image to the hash center of its class by binary cross-entropy.

    Central similarity (eq. 5), with center c in {0, 1}^K and h in (0, 1)^K:

        L_C = 1/K sum_k -[c_k log h_k + (1 - c_k) log(1 - h_k)]

    and the method's own quantization term (eq. 7): lambda * sum_k log cosh(|2 h_k - 1| - 1).
    In -1/+1 terms the relaxed code is tanh(u) = 2h - 1, so h = sigmoid(2u). The cross-entropy is computed
    from 2u, which can't overflow.

    Centers (section 3.2): if K is a power of two and C <= 2K, the centers are the rows of the Hadamard matrix
    H_K, then of -H_K. Otherwise they are drawn with K/2 random ones (Algorithm 1); see ``shared.centers``. The target
    of an image with several labels is the bitwise majority of its centers.

    Some bits of Hadamard centers are the same for all classes, so they are dead: with 2^(m-1) < C <= 2^m classes the
    bits 0, 2^m, 2 * 2^m, .... For 9 to 16 classes these are 1 of 16, 2 of 32 and 4 of 64 bits; for 5 to 8, twice as
    many.

    Deviations: Algorithm 1 requires the average distance to be at least K/2; here the minimum is bounded. The
    own term is a mean over bits where the paper has a sum, so lambda means the same at every K. In a tie of the
    centers of several labels, the paper draws the bit. Here every class has a small random number for each bit, and
    the sign of their sum breaks the tie, so that images with common labels get similar bits. If the targets
    themselves are the codes, the mAP for label sets drawn from 21 classes is 0.922 to 0.927 at 64 bits over six
    values of ``center_seed``; with one drawn bit for all images it is 0.841 to 0.874, and with one for each
    set of labels 0.909 to 0.913.

    Args:
        quantization: lambda, weight of the own term.
        center_seed: seed of the sampled centers and tie-breaks; all training seeds have the same centers.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        quantization: NonNegative = 0.0001,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.quantization = quantization
        self.targets = Targets(hash_centers(num_classes, code_length, center_seed), center_seed)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        center = (self.targets(labels) + 1) / 2
        return functional.binary_cross_entropy_with_logits(2 * u.to(center.dtype), center)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        distance = self.relax(u.to(self.targets.centers.dtype)).abs() - 1
        return self.quantization * distance.cosh().log().mean()
