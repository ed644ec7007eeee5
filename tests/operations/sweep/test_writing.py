"""Lock files and entries of the run cache are written letter for letter as DVC's own writer does."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize._yaml import dumps_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.operations.sweep.dvc import writing
from tests.conftest import ROOT

WORDS = st.from_regex(r"[A-Za-z0-9_./@:+=,'\" #~!&*?{}\[\]-]{0,40}", fullmatch=True)
HASHES = st.from_regex(r"[0-9a-f]{32}(\.dir)?|[0-9e]{32}", fullmatch=True)
PATHS = st.lists(st.from_regex(r"[a-z0-9_.-]{1,30}", fullmatch=True), min_size=1, max_size=6).map("/".join)
COMMANDS = st.lists(st.from_regex(r"-{0,2}[A-Za-z0-9_.-]{1,90}", fullmatch=True), min_size=1, max_size=12).map(" ".join)
STRINGS = (
    WORDS
    | HASHES
    | PATHS
    | COMMANDS
    | st.text(max_size=20)
    | st.sampled_from(["on", "NO", "null", "1e5", "2026-11-25"])
)
SCALARS = STRINGS | st.integers() | st.floats() | st.booleans() | st.none()
KEYS = PATHS | WORDS | st.text(max_size=8) | st.from_regex(r"[a-z]{90,140}", fullmatch=True)
TREES: Any = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, TREES, max_size=5))
@example({"a": "0b1", "0b1": ["0o7", "0x1f", "1f", "f1", "1_0", "1e5", "1e5.dir", "=", "<<", "~", ".5", "+1", "-"]})
@example({})
@example({"a": [[""], "two words", {"b": ["", ["a b"]]}]})
@example({"a": [[], {}, [[1, 2], None]], "b": {"c": {}, "d": [], "e": None}})
@example({"k" * 76: "word", "l" * 78: {}, "m": "w" * 90, "n": -0.0, "o": float("inf")})
def test_it_is_what_dvc_writes(data: dict[str, Any]) -> None:
    assert writing.dumps(data) == dumps_yaml(data)


def test_what_comes_twice_is_referred_to() -> None:
    same = {"weight": 0.1}
    assert writing.dumps({"a": same, "b": [same]}) == dumps_yaml({"a": same, "b": [same]})
    assert "&id001" in writing.dumps({"a": same, "b": same})


@pytest.mark.parametrize("lock", sorted(ROOT.rglob("cells/*/*/dvc.lock")) + [ROOT / "dvc.lock"], ids=str)
def test_the_lock_files_of_the_default_study(lock: Path) -> None:
    text = lock.read_text()
    assert writing.dumps(yaml.safe_load(text)) == text
