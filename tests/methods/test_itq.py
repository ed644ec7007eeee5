"""``itq``: against the paper's steps in NumPy."""

import numpy as np
import torch
from torch import Tensor

from tests.methods.solving import K, solved


def itq_loss(u: Tensor) -> float:
    return (torch.where(u >= 0, 1.0, -1.0) - u).square().sum().item()


def test_itq_rotates_the_components_by_the_papers_steps() -> None:
    weight, _, u = solved("itq", iterations=3)
    components, _, projected = solved("pca")
    rotation = np.linalg.qr(torch.randn(K, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy())[
        0
    ]
    for _ in range(3):
        codes = np.where(projected.numpy() @ rotation >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(codes.T @ projected.numpy())
        rotation = (left @ right).T
    np.testing.assert_allclose(u.numpy(), projected.numpy() @ rotation, atol=1e-8)
    np.testing.assert_allclose((weight @ weight.T).numpy(), np.eye(K), atol=1e-9)
    np.testing.assert_allclose((weight @ components.T @ components).numpy(), weight.numpy(), atol=1e-9)


def test_the_loss_of_itq_never_rises() -> None:
    losses = [itq_loss(solved("itq", iterations=count)[2]) for count in (1, 2, 3, 5, 10, 50)]
    assert all(after <= before + 1e-9 for before, after in zip(losses, losses[1:], strict=False))
    assert losses[-1] < losses[0]
