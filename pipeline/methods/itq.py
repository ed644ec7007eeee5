"""``itq``: iterative quantization (Gong and Lazebnik, CVPR 2011); a baseline without training."""

import torch
from torch import Tensor

from pipeline.methods import Method, sign
from pipeline.methods.shared.components import principal_components
from pipeline.runtime.ranges import PositiveInt


class ITQ(Method):
    """Rotates the first K principal components so that they are close to a binary code.

    With V (n, K) the components of the centred training features and R an orthogonal matrix, it minimises (eq. 2)

        || B - V R ||_F^2,   B in {-1, +1}^(n, K)

    by turns: B = sgn(V R); then, with the singular value decomposition B^T V = S Omega S'^T, R = S' S^T (section 2.2).
    R begins as a random orthogonal matrix. The bits are the signs of u = R^T W (x - mean) with the components W of
    ``pca``. It needs K features and K training images at least.

    Deviation: sgn(0) is +1, as everywhere in this project.

    Args:
        iterations: number of turns; 50 in the paper.
    """

    training_free = True

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        iterations: PositiveInt = 50,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.iterations = iterations

    def solve(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        components = principal_components(features, self.code_length, "itq")
        mean = features.mean(dim=0)
        projected = (features - mean) @ components.T
        drawn = torch.randn(self.code_length, self.code_length, generator=generator, dtype=torch.float64)
        rotation = torch.linalg.qr(drawn).Q
        for _ in range(self.iterations):
            left, _, right = torch.linalg.svd(sign(projected @ rotation).T @ projected)
            rotation = right.T @ left.T
        weight = rotation.T @ components
        return weight, -weight @ mean
