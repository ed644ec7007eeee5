"""Messages of exceptions in one line."""

import pytest

from pipeline.runtime.errors import first_line, with_type


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\nfirst\nsecond"), "first"),
        (EOFError(), "EOFError"),
        (OSError("\n"), "OSError"),
    ],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(("error", "line"), [(OSError("a\nb"), "OSError: a"), (EOFError(), "EOFError")])
def test_with_type(error: Exception, line: str) -> None:
    assert with_type(error) == line
