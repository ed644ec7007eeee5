"""``pca``: the signs of the first principal components; a baseline without training."""

import torch
from torch import Tensor

from pipeline.methods import Method
from pipeline.methods.shared.components import principal_components


class PCA(Method):
    """Bits are the signs of the first K principal components of the features.

        u = W (x - mean),   W the K eigenvectors of the training set's covariance with the largest eigenvalues

    Called PCA-Direct by Gong and Lazebnik (CVPR 2011, section 3), and PCAH elsewhere. It needs K features and K
    training images at least. It has no randomness: seeds differ by their split alone.
    """

    training_free = True

    def solve(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        weight = principal_components(features, self.code_length, "pca")
        return weight, -weight @ features.mean(dim=0)
