"""``dpn``: deep polarized network (Fan et al., IJCAI 2020)."""

from torch import Tensor

from pipeline.methods import Method
from pipeline.methods.shared.centers import Targets, sampled_centers
from pipeline.runtime.ranges import Positive, PositiveInt, Seed


class DPN(Method):
    """A hinge on every output: its sign is that of the class's target, and its magnitude is at least the margin.

    The polarization loss with targets t in {-1, +1}^K, here as a mean over images and bits, is

        mean_i mean_k max(margin - u_ik t_ik, 0)

    Targets are random codes with K/2 ones for each class. Outputs that are past the margin have no gradient, so the
    loss also makes outputs discrete. The paper has no other quantization term, so the own term is zero and ``original``
    equals ``none``.

    The source is a public implementation (https://github.com/swuxyj/DeepHash-pytorch); the paper's text was not
    available.

    Deviations: (1) targets of two classes differ in at least about K/2 bits (``shared.centers``); the paper draws them
    independently. (2) The target of an image with several labels is the bitwise majority of its classes' targets, so
    that every image has one target and the same weight. The implementation draws the bit in a tie, here it is chosen as
    in ``csq``. The authors' own re-implementation (https://github.com/kamwoh/DPN, ``scripts/train_hashing.py``) has no
    majority: it adds up the hinges to the targets of all classes of an image. For one label, both are the hinge above;
    the re-implementation takes the sum over bits. (3) The variants that update targets between epochs (DPN-A) or use
    ternary codes (DPN-T) are not included.

    Args:
        margin: m; 1 in the public implementation.
        center_seed: seed of the targets; the same for all training seeds.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        margin: Positive = 1.0,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.margin = margin
        self.targets = Targets(sampled_centers(num_classes, code_length, center_seed), center_seed)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        target = self.targets(labels)
        hinge: Tensor = (self.margin - u.to(target.dtype) * target).clamp(min=0)
        return hinge.mean()
