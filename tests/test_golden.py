"""No loss has moved: its numbers on fixed inputs are those of ``tests/golden/losses.json``."""

import pytest
import torch

from pipeline import quantizers
from tests import golden
from tests.losses import TRAINED

REGISTERED = {"methods": TRAINED, "quantizers": quantizers.names()}
MEASURED = {"methods": golden.of_method, "quantizers": golden.of_quantizer}
ADVICE = "where this is meant, `python -m tests.golden` writes tests/golden/losses.json anew"

every_loss = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in golden.KINDS for name in REGISTERED[kind]]
)


@every_loss
def test_no_loss_has_moved(kind: str, name: str) -> None:
    kept = golden.kept()[kind]
    if name not in kept:
        pytest.skip(f"{name} has no golden values yet; `python -m tests.golden` adds them")
    lines = golden.changes(kept[name], MEASURED[kind](name))
    assert not lines, "\n".join([f"{kind}, {name} moved; {ADVICE}:", *lines])


@every_loss
def test_golden_values_owe_nothing_to_torchs_generator(kind: str, name: str) -> None:
    torch.manual_seed(1)
    first = MEASURED[kind](name)
    torch.manual_seed(2)
    assert MEASURED[kind](name) == first


@pytest.mark.parametrize("kind", golden.KINDS)
def test_golden_values_are_of_what_is_registered(kind: str) -> None:
    assert set(golden.kept()[kind]) <= set(REGISTERED[kind]), ADVICE


def test_changes_are_told_by_name() -> None:
    old = {"kept": 1.0, "rounded": 1.0, "moved": 1.0, "zero": 0.0, "dropped": 2.0}
    new = {"kept": 1.0, "rounded": 1.0000005, "moved": 1.000002, "zero": 1e-9, "added": 3.0}
    assert golden.changes(old, new) == [
        "added: new, 3",
        "dropped: gone, was 2",
        "moved: 1 -> 1.000002",
        "zero: 0 -> 1e-09",
    ]
    assert golden.updated(old, new) == {"kept": 1.0, "rounded": 1.0, "moved": 1.000002, "zero": 1e-9, "added": 3.0}
