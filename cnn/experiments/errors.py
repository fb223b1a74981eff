"""What a user did wrong, as opposed to what broke."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's: one line that says what was wrong, where, and what to do. Ends in exit code 2."""


class RunFailed(RuntimeError):
    """A run that cannot go on (a non-finite loss, a full disk): one line, exit code 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' for the nearest of `known`, or the list of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f'did you mean {close[0]!r}?' if close else f'there are {", ".join(known)}'
