"""``dpsh``: deep pairwise-supervised hashing (Li, Wang & Kang, IJCAI 2016)."""

from torch import Tensor

from pipeline.methods import Method, sign
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.pairs import likelihood, signed
from pipeline.runtime.ranges import NonNegative, PositiveInt


class DPSH(Method):
    """Pairwise likelihood of raw outputs, and a squared distance of every output to its sign.

    The paper minimises, with psi_ij = u_i . u_j / 2,

        - sum_ij (s_ij psi_ij - log(1 + exp psi_ij)) + eta sum_i |sgn(u_i) - u_i|^2

    A batch is compared with a bank of the latest outputs of the whole training set, so j runs over all of it, as in the
    public implementation (https://github.com/swuxyj/DeepHash-pytorch). Both sums are means here: the first over pairs,
    the second over images and bits, as in that implementation. With n training images, the paper's eta is
    n ``quantization`` / K.

    Deviation: the bank starts with the network's initial outputs for the training set.

    Args:
        quantization: weight of the own term; 0.1 in the public implementation.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        quantization: NonNegative = 0.1,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.quantization = quantization
        self.bank = Bank(num_train, code_length, num_classes)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u, labels = u.to(self.bank.dtype), labels.to(self.bank.dtype)
        self.bank.put(indices, u)
        sets = self.bank.sets
        return likelihood(u / 2, self.bank.outputs, signed(sets.shared(labels)), sets.of)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = u.to(self.bank.dtype)
        return self.quantization * (u - sign(u.detach())).square().mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(u, labels)
