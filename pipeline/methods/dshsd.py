"""``dshsd``: deep supervised hashing based on stable distribution (Wu et al., IEEE Access 2019)."""

from torch import Tensor, nn

from pipeline.methods import Method
from pipeline.methods.shared.classes import Classification
from pipeline.methods.shared.contrast import contrast
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class DSHSD(Method):
    """A linear classifier on tanh codes, and a contrastive loss of their distances.

    With h = tanh(u), m = 2K and a classifier W that is trained together with the network,

        L = mean_i L_C(W h_i) + alpha mean_ij (1 - y)/2 |h_i - h_j|^2 + y/2 max(m - |h_i - h_j|^2, 0)

    where y is 0 for similar and 1 for other pairs. L_C is the softmax cross-entropy if every training image has exactly
    one label, else the sum over classes of sigmoid cross-entropies.

    The source is a public implementation (https://github.com/swuxyj/DeepHash-pytorch) and the paper's abstract; its
    text was not available. The paper smooths the sign by tanh, and neither has a quantization term. So the own term is
    zero, and ``original`` equals ``none``.

    Deviation: the mean is over pairs i != j.

    Args:
        alpha: weight of the contrastive loss; 0.05 in the public implementation.
        margin: m / K.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        alpha: NonNegative = 0.05,
        margin: Positive = 2.0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.alpha, self.margin = alpha, margin
        self.classifier = nn.Linear(code_length, num_classes, bias=False)
        self.classification = Classification()

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        h = self.relax(u.to(self.classifier.weight.dtype))
        classes: Tensor = self.classification(self.classifier(h), labels)
        return classes + self.alpha * self.code_length * contrast(h, labels, self.margin)

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.classification.prime(labels)
