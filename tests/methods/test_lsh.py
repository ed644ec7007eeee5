"""``lsh``: against the probability that Charikar gives."""

import numpy as np
import torch

from pipeline.codes import sign
from tests.methods.solving import D, features, solved


def test_lsh_draws_directions_evenly_on_the_sphere() -> None:
    """The share of differing bits is the angle over pi (Charikar, section 3): within 5 standard deviations."""
    bits = 20_000
    _, _, u = solved("lsh", bits=bits)
    centred = features() - features().mean(dim=0)
    for a, b in ((0, 1), (2, 3), (4, 5)):
        cosine = torch.nn.functional.cosine_similarity(centred[a], centred[b], dim=0)
        share = torch.arccos(cosine).item() / np.pi
        differing = (sign(u[a].numpy()) != sign(u[b].numpy())).mean()
        assert abs(differing - share) < 5 * (share * (1 - share) / bits) ** 0.5


def test_lsh_has_no_limit_of_bits() -> None:
    assert solved("lsh", bits=5 * D)[0].shape == (5 * D, D)
