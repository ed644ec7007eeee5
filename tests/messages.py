"""What a user is told: one line that says all that it should."""

import pytest

from pipeline.runtime.errors import UserError


def one_line(error: pytest.ExceptionInfo[UserError], *parts: str) -> None:
    """The error's message is a single line and says all of this."""
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    for part in parts:
        assert part in message, message
