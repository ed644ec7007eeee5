"""The one kind of error that a user's mistake raises, and training that diverges."""


class UserError(ValueError):
    """A mistake that the user can mend.

    The message says what is wrong, where, what was expected and what to do. A stage prints it without a
    traceback and exits with 1; a library caller sees an ordinary ``ValueError``.
    """


class Diverged(UserError):
    """Training left the finite numbers: a mistake in a study's own cell, a result where settings are tried."""
