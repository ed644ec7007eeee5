"""``crovca``: cross-view code alignment without labels (Moummad et al., CVPR workshops 2026)."""

from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, exact
from pipeline.methods.shared.coding_rate import coding_rate
from pipeline.runtime.ranges import NonNegative, PositiveInt


class CroVCA(Method):
    """The bits of one view of an image predict those of another view; the coding rate keeps codes different.

    With outputs u and v of two views, and targets [u > 0] in {0, 1}^K, which have no gradient, the loss is (arXiv
    2510.27584, eq. 8 and Algorithm 1)

        1/2 (BCE(sigmoid(u), [v > 0]) + BCE(sigmoid(v), [u > 0])) - diversity 1/2 (R(u) + R(v))

    where BCE is a mean over images and bits, and R the coding rate (``shared.coding_rate``). No label is read. The
    paper has no quantization term: the targets are binary. So the own term is zero, and ``original`` equals ``none``.
    The coding rate is part of the similarity loss, because without it all codes become equal.

    CroVCA is the paper's objective, with labels or without; this is the one without, see ``hashcoder`` for the other.
    The paper's network is an MLP called HashCoder, whose last layer is a batch normalization with learned scale and
    shift. Here ``head.hidden`` gives its layers, and the batch normalization belongs to this method.

    The loss and its gradient are those of the authors' code (https://github.com/ilyassmoummad/cross-view-code-alignment,
    ``train.py`` and ``loss.py``).

    Deviation: the batch normalization takes mean and variance over both views together, since both are one batch of the
    network; the authors' code takes those of each view.

    Args:
        diversity: weight of the coding rate; 0.1 in the paper.
    """

    supervision = "nothing"
    views = 2
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
        first, second = exact(u).chunk(2)
        alignment = _predicts(first, second) + _predicts(second, first)
        return (alignment - self.diversity * (coding_rate(first) + coding_rate(second))) / 2


def _predicts(u: Tensor, of: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(u, (of.detach() > 0).to(u.dtype))
