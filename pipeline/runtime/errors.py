"""The one kind of error that a user's mistake raises, and training that diverges."""

import re

_BEFORE_AT = re.compile(r"(\w://)[^/@\s]*@")
_WORDS = r"password|passphrase|token|secret\w*|access_key\w*|sas_\w+|connection_string"
_NAMED = re.compile(rf"""((?:{_WORDS})["']?\s*[:=]\s*["']?)[^\s"',}}]+""", re.IGNORECASE)


def hidden(text: str) -> str:
    """A text without passwords: of addresses, and behind names such as ``password=`` or ``"token": ``."""
    return _NAMED.sub(r"\1***", _BEFORE_AT.sub(r"\1", text))


class UserError(ValueError):
    """A mistake that the user can mend.

    The message says what is wrong, where, what was expected and what to do. A stage prints it without a
    traceback and exits with 1; a library caller sees an ordinary ``ValueError``.
    """


class Diverged(UserError):
    """Training left the finite numbers: a mistake in a study's own cell, a result where settings are tried."""
