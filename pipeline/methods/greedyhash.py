"""``greedyhash``: classification of the signs themselves (Su, Zhang, Han & Tian, NeurIPS 2018)."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.methods import Method, sign
from pipeline.methods.shared.classes import Classification
from pipeline.runtime.ranges import NonNegative, PositiveInt


class GreedyHash(Method):
    """A linear classifier on b = sgn(u) without relaxation; its gradient with respect to b is passed on to u.

    The paper's hash coding layer is the sign in the forward pass and the identity in the backward pass. A
    linear classifier W without bias, trained together with the network, classifies its output:

        L = - log softmax(W b)_y                                       one label per image
        L = - sum_c (y_c log p_c + (1 - y_c) log(1 - p_c))             several labels, p = sigmoid(W b)

    averaged over images. The method's own term keeps u near b, where the identity is a good approximation of
    the gradient:

        quantization * mean | |u_k| - 1 |^3          that is |u - sgn(u)|_p^p with the paper's p = 3

    ``prime`` chooses one of the two L for the whole training set: the softmax if every image has exactly one
    label, else the sigmoid. If ``prime`` was not called, each batch is checked instead.

    Deviations: (1) the paper classifies only images with one class. The sigmoid is the usual generalisation; it
    is summed over classes so that an image has about the same weight as with the softmax. (2) sgn(0) is +1, as
    in all methods here. (3) The paper has no relaxed codes; a quantizer that needs them gets tanh(u).

    Args:
        quantization: weight of the own term.
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
        self.classifier = nn.Linear(code_length, num_classes, bias=False)
        self.classification = Classification()

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        code: Tensor = _Sign.apply(u.to(self.classifier.weight.dtype))
        loss: Tensor = self.classification(self.classifier(code), labels)
        return loss

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        distance = u.to(self.classifier.weight.dtype).abs() - 1
        return self.quantization * distance.abs().pow(3).mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.classification.prime(labels)


class _Sign(torch.autograd.Function):
    """sgn with sgn(0) = +1; the backward pass is the identity."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        return sign(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
