"""none: the similarity loss alone."""

import torch

from pipeline import quantizers
from tests.losses import outputs


def test_it_adds_nothing_and_drops_the_methods_own_term() -> None:
    quantizer = quantizers.create("none")
    assert (quantizer.own_weight, quantizer.weight) == (0, 0)
    value = quantizer(outputs(3, 4), generator=torch.Generator())
    assert value.item() == quantizer(outputs(3, 4)).item() == 0
