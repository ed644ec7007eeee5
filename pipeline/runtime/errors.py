"""The one kind of error that a user's mistake raises."""


class UserError(ValueError):
    """A mistake that the user can mend.

    The message says what is wrong, where, what was expected and what to do. A stage prints it without a
    traceback and exits with 1; a library caller sees an ordinary ``ValueError``.
    """
