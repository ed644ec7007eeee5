"""Examples in docstrings run, and every function that docs/api.md lists has one."""

import doctest
import importlib
import inspect
import re

import pytest

from tests.conftest import ROOT

#: ``::: pipeline.codes.pack`` of the page.
LISTED = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", LISTED)
def test_the_example_runs(name: str) -> None:
    module = importlib.import_module(name.rpartition(".")[0])
    function = inspect.unwrap(getattr(module, name.rpartition(".")[2]))
    tests = doctest.DocTestFinder(recurse=False).find(function, name, globs=dict(vars(inspect.getmodule(function))))
    assert any(test.examples for test in tests), f"{name} has no example"
    for test in tests:
        result = doctest.DocTestRunner(verbose=False).run(test)
        assert result.failed == 0
