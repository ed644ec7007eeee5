"""``hashcoder``: cross-view code alignment with labels (Moummad et al., CVPR workshops 2026)."""

from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, exact, off_diagonal, similar
from pipeline.methods.shared.coding_rate import coding_rate
from pipeline.runtime.ranges import NonNegative, PositiveInt


class HashCoder(Method):
    """The bits of similar images predict each other; the coding rate keeps codes from being all the same.

    With targets t_j = [u_j > 0] in {0, 1}^K, which have no gradient, the loss is

        mean_i mean_j BCE(sigmoid(u_i), t_j) - diversity R(u)

    where j runs over the other images of the batch that are similar to i, BCE is a mean over bits, and R is the coding
    rate (``shared.coding_rate``). The paper (arXiv 2510.27584) calls images of one class two views, and draws one of
    them; the mean over j is the expectation of that. Images without a similar image in the batch count only in R.

    The paper has no quantization term: the targets are binary. So the own term is zero, and ``original`` equals
    ``none``. The coding rate is part of the similarity loss, because without it all codes become equal.

    A batch normalization with learned scale and shift follows the head, as in the paper. The source of the formulas is
    the paper's Algorithm 1; its code was not available.

    Args:
        diversity: weight of the coding rate.
    """

    batch_norm = "affine"

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        diversity: NonNegative = 0.1,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.diversity = diversity

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        alike = off_diagonal(similar(labels, labels).to(u.dtype))
        partners = alike.sum(dim=1, keepdim=True)
        # The mean of the targets, because the cross-entropy is linear in them.
        target = alike @ (u.detach() > 0).to(u.dtype) / partners.clamp(min=1)
        cost = functional.binary_cross_entropy_with_logits(u, target, reduction="none").mean(dim=1, keepdim=True)
        counted = partners.clamp(max=1)
        return (counted * cost).sum() / counted.sum().clamp(min=1) - self.diversity * coding_rate(u)
