"""The one kind of error that is the operator's to mend; anything else is a bug."""

from __future__ import annotations


class OperatorError(Exception):
    """Something outside the code is wrong; the text says what, where and what to do.

    Commands print it as one line on standard error and exit with status 2.
    """
