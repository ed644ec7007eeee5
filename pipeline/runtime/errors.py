"""``UserError``, which every user mistake raises; ``Diverged`` for training that diverges; messages in one line."""

import re

_BEFORE_AT = re.compile(r"(\w://)[^/@\s]*@")
_WORDS = r"password|passphrase|token|secret\w*|access_key\w*|sas_\w+|connection_string"
_NAMED = re.compile(rf"""((?:{_WORDS})["']?\s*[:=]\s*["']?)[^\s"',}}]+""", re.IGNORECASE)


def hidden(text: str) -> str:
    """Replace passwords in a text by ``***``: in URLs, and after names such as ``password=`` or ``"token": ``."""
    return _NAMED.sub(r"\1***", _BEFORE_AT.sub(r"\1", text))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; the name of its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def with_type(error: BaseException) -> str:
    """The name of an exception's type and the first line of its message."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


class UserError(ValueError):
    """A mistake that the user can fix.

    The message says what is wrong, where, what was expected and what to do. A stage prints it without a
    traceback and exits with code 1. For a library caller it is an ordinary ``ValueError``.
    """


class Diverged(UserError):
    """Training produced NaN or infinity. An error for a study's own cell; a valid result of a tuning trial."""
