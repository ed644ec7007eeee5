"""``hashcoder``: cross-view code alignment with labels (Moummad et al., CVPR workshops 2026)."""

from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, exact
from pipeline.methods.shared.coding_rate import coding_rate
from pipeline.runtime.ranges import NonNegative, PositiveInt


class HashCoder(Method):
    """An image's bits are those of the mean of its classes; the coding rate keeps codes from being all the same.

    With the mean output m_c of the batch's images of class c, and the mean m_i of m_c over the classes of image i, the
    target t_i = [m_i > 0] in {0, 1}^K has no gradient, and the loss is

        mean_i BCE(sigmoid(u_i), t_i) - diversity R(u)

    where BCE is a mean over bits, and R is the coding rate (``shared.coding_rate``). Images without a label count only
    in R.

    In the paper (arXiv 2510.27584), CroVCA is the objective, with labels or without, and HashCoder is the network: an
    MLP whose last layer is a batch normalization with learned scale and shift. Here ``hashcoder`` is the objective with
    labels, and ``crovca`` the one without. ``head.hidden`` gives the MLP's layers; the batch normalization belongs to
    both methods.

    The paper has no quantization term: the targets are binary. So the own term is zero, and ``original`` equals
    ``none``. The coding rate is part of the similarity loss, because without it all codes become equal.

    The source is the authors' code (https://github.com/ilyassmoummad/cross-view-code-alignment, ``train.py``); of the
    paper only the abstract was available. Deviation: the code takes two augmented views of each image, as ``crovca``
    does. One is taken here, so that images need no augmentation.

    Args:
        diversity: weight of the coding rate; 0.1 in the authors' code.
    """

    batch_norm = True

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
        labels = labels.to(u.dtype)
        means = labels.T @ u.detach() / labels.sum(dim=0).clamp(min=1)[:, None]
        # The mean over an image's classes has the sign of the sum.
        target = (labels @ means > 0).to(u.dtype)
        cost = functional.binary_cross_entropy_with_logits(u, target, reduction="none").mean(dim=1)
        labelled = labels.amax(dim=1)
        return (labelled * cost).sum() / labelled.sum().clamp(min=1) - self.diversity * coding_rate(u)
