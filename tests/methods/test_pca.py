"""``pca``: against NumPy's eigenvectors of the covariance."""

import numpy as np
import pytest

from tests.methods.solving import K, features, solved


def test_pca_gives_the_eigenvectors_of_the_largest_eigenvalues() -> None:
    weight, _, u = solved("pca")
    values, vectors = np.linalg.eigh(np.cov(features().numpy(), rowvar=False))
    for place in range(K):
        assert abs(weight[place].numpy() @ vectors[:, -1 - place]) == pytest.approx(1)
        assert u[:, place].var().item() == pytest.approx(values[-1 - place])
