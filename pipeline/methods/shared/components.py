"""Principal components of the training set's features, for ``pca`` and ``itq``."""

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from pipeline.runtime.errors import UserError


def principal_components(features: Tensor, count: int, method: str) -> Tensor:
    """The first principal components by scikit-learn.

    Args:
        features: (n, D) float64.
        count: K.
        method: the method's name, for the message.

    Returns:
        (K, D) float64, orthonormal rows. The component that is largest in magnitude is positive in each row.

    Raises:
        UserError: K is larger than n or D.
    """
    if count > min(features.shape):
        images, width = features.shape
        raise UserError(
            f"{method}: {count} bits need as many features and training images at least; found {width:,} features of "
            f"{images:,} images; take fewer bits, or leave {method} out of grid.training_free"
        )
    return torch.from_numpy(PCA(count, svd_solver="covariance_eigh").fit(features.numpy()).components_)
