"""What a worker writes to its log can't be forged by what it is sent."""

from __future__ import annotations

import logging
import sys

from streams.worker import _Lines


def line(message: str, *, raising: str = "") -> str:
    info = None
    if raising:
        try:
            raise ValueError(raising)
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("pairwatch", logging.WARNING, "", 0, message, (), info)
    return _Lines("%(levelname)s %(message)s").format(record)


def test_input_in_a_message_stays_in_its_line() -> None:
    told = line("bad \r\nCRITICAL all is lost\x1b[2J\u2028\u202e")
    assert told.splitlines() == [told]
    assert "\x1b" not in told
    assert told.startswith("WARNING bad ")


def test_input_in_a_traceback_begins_no_line_of_its_own() -> None:
    told = line("failed", raising="x\nCRITICAL all is lost").splitlines()
    assert told[0] == "WARNING failed"
    assert all(each.startswith("  ") for each in told[1:])
