"""What every registered quantizer promises; a new one is found here by itself. Then what groups of them share."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import quantizers
from pipeline.runtime.errors import UserError
from tests.losses import hyperparameters, is_tested, outputs, seeded, signs, wrong_values
from tests.messages import one_line

every_quantizer = pytest.mark.parametrize("name", quantizers.names())
drawing = pytest.mark.parametrize("name", ["wr", "swd", "hswd", "ot"])


def test_every_quantizer_has_a_test_of_its_own() -> None:
    assert [name for name in quantizers.names() if not is_tested("quantizers", name)] == []


@pytest.mark.parametrize("n", [1, 2, 5, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@every_quantizer
def test_term_is_a_finite_number_with_a_gradient(name: str, dtype: torch.dtype, n: int) -> None:
    quantizer = quantizers.create(name)
    u = outputs(n).to(dtype).requires_grad_()
    value = quantizer(u, generator=seeded())
    assert value.shape == ()
    assert math.isfinite(value.item())
    assert value.requires_grad == (quantizer.weight > 0)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, u)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()
        assert gradient.any()


@every_quantizer
def test_term_is_finite_where_all_outputs_are_equal(name: str) -> None:
    """A network that has collapsed, the case that a quantizer is there to mend."""
    for u in (torch.zeros(6, 8), torch.ones(6, 8)):
        u.requires_grad_()
        value = quantizers.create(name)(u, generator=seeded())
        assert math.isfinite(value.item())
        if value.requires_grad:
            assert torch.autograd.grad(value, u)[0].isfinite().all()


@every_quantizer
def test_outputs_that_are_no_batch_of_codes_are_refused(name: str) -> None:
    for shape in ((8,), (2, 3, 8), ()):
        with pytest.raises(UserError) as error:
            quantizers.create(name)(torch.zeros(shape), generator=seeded())
        one_line(error, f"u must be (b, K), found shape {shape}")


def test_an_unknown_quantizer_is_refused() -> None:
    with pytest.raises(UserError) as error:
        quantizers.create("hswdd")
    one_line(error, "'hswdd'", "did you mean 'hswd'?", *quantizers.names())


@every_quantizer
def test_an_unknown_hyperparameter_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        quantizers.create(name, wieght=0.1)
    one_line(error, repr(name), "'wieght'", *hyperparameters(type(quantizers.create(name))))


@every_quantizer
def test_hyperparameters_out_of_range_are_refused(name: str) -> None:
    for key, annotation in hyperparameters(type(quantizers.create(name))).items():
        for value in wrong_values(annotation):
            with pytest.raises(UserError) as error:
                quantizers.create(name, **{key: value})
            one_line(error, repr(name), key, repr(value))


@pytest.mark.parametrize("name", ["ot", "cb"])
def test_sums_of_products_are_in_float32_at_least(name: str) -> None:
    for given, computed in (("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")):
        value = quantizers.create(name)(outputs().to(getattr(torch, given)), generator=seeded())
        assert value.dtype == getattr(torch, computed)


# Randomness.


@every_quantizer
def test_randomness_comes_from_the_generator_alone(name: str) -> None:
    quantizer, u = quantizers.create(name), outputs()
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    first = quantizer(u, generator=seeded(3))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])  # type: ignore[index]
    torch.manual_seed(99)
    assert torch.equal(first, quantizer(u, generator=seeded(3)))


@drawing
def test_another_seed_draws_other_targets(name: str) -> None:
    quantizer, u = quantizers.create(name), outputs()
    assert not torch.equal(quantizer(u, generator=seeded(3)), quantizer(u, generator=seeded(4)))


@drawing
def test_drawn_targets_are_those_of_the_generator(name: str) -> None:
    u = outputs()
    drawn = quantizers.uniform_targets(u, None, seeded())
    assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
    generator = seeded()
    quantizers.uniform_targets(u, None, generator)
    value = quantizers.create(name)(u, targets=drawn, generator=generator)
    assert torch.equal(value, quantizers.create(name)(u, generator=seeded()))


def test_uniform_targets_are_balanced() -> None:
    drawn = quantizers.uniform_targets(torch.zeros(4000, 16), None, seeded())
    assert drawn.mean(dim=0).abs().max() < 0.06
    assert (drawn.T @ drawn / 4000 - torch.eye(16)).abs().max() < 0.07


@drawing
def test_targets_of_another_shape_are_refused(name: str) -> None:
    for shape in ((4, 9), (5, 8), (8,), (1, 8)):
        with pytest.raises(UserError) as error:
            quantizers.create(name)(torch.zeros(4, 8), targets=torch.ones(shape))
        one_line(error, f"targets must be (4, 8) like u, found {shape}")


@drawing
def test_neither_targets_nor_generator_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        quantizers.create(name)(torch.zeros(4, 8))
    one_line(error, "give targets, or a torch.Generator")


# Distances between two samples.

distances = pytest.mark.parametrize("name", ["hswd", "swd", "ot"])


@distances
def test_distance_of_a_sample_to_itself_is_zero(name: str) -> None:
    u = outputs()
    shuffled = u[torch.randperm(len(u), generator=seeded())]
    assert quantizers.create(name)(u, targets=shuffled).item() == pytest.approx(0, abs=1e-24)


@distances
def test_distance_does_not_see_the_order_of_the_batch(name: str) -> None:
    quantizer, u, targets = quantizers.create(name), outputs(), signs()
    value = quantizer(u, targets=targets).item()
    order = torch.randperm(len(u), generator=seeded())
    assert quantizer(u[order], targets=targets).item() == pytest.approx(value, rel=1e-12)
    assert quantizer(u, targets=targets[order]).item() == pytest.approx(value, rel=1e-12)


@distances
def test_distance_is_symmetric_and_positive(name: str) -> None:
    quantizer, a, b = quantizers.create(name), outputs(seed=1), outputs(seed=2)
    there, back = quantizer(a, targets=b).item(), quantizer(b, targets=a).item()
    # The pairing sums in another order on the way back.
    assert there == (pytest.approx(back, rel=1e-12) if name == "ot" else back)
    assert there > 0


@distances
def test_root_of_distance_obeys_the_triangle_inequality(name: str) -> None:
    """1,000 triples of samples, each around another place and of another width."""
    quantizer, generator = quantizers.create(name), seeded()
    squares_do_not = 0
    for _ in range(1000):
        places, widths = torch.randn(3, 1, 3, generator=generator), torch.rand(3, 1, 1, generator=generator)
        a, b, c = (places + widths * torch.randn(3, 6, 3, generator=generator)).double()
        ab, bc, ac = (float(quantizer(x, targets=y)) for x, y in ((a, b), (b, c), (a, c)))
        assert math.sqrt(ac) <= math.sqrt(ab) + math.sqrt(bc) + 1e-12
        squares_do_not += ac > ab + bc
    assert squares_do_not > 50


@pytest.mark.parametrize("argument", ["batch_size", "learning_rate"])
def test_no_argument_has_a_name_that_is_training_s(
    argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of that name would be taken for the training's."""
    (tmp_path / f"mine_{argument}.py").write_text(
        "from pipeline.quantizers import Quantizer\n\n\nclass Mine(Quantizer):\n"
        f"    def __init__(self, *, {argument}: float = 1.0) -> None:\n        super().__init__()\n"
    )
    monkeypatch.setattr(quantizers, "__path__", [*quantizers.__path__, str(tmp_path)])
    monkeypatch.setattr("pipeline.runtime.registry.file_names", lambda folder: [f"mine_{argument}"])
    with pytest.raises(UserError) as error:
        quantizers.create(f"mine_{argument}")
    one_line(error, "argument", repr(argument), "rename it")
