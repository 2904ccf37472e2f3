"""What a worker writes to its log can't be forged by what it is sent; and how it ends."""

from __future__ import annotations

import logging
import subprocess
import sys

from streams.fence import SessionOverError
from streams.worker import _is_told, _Lines


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


def test_a_checkpoint_that_outlasts_its_interval_is_no_news_and_other_warnings_are() -> None:
    def of(name: str) -> logging.LogRecord:
        return logging.LogRecord(name, logging.WARNING, "", 0, "is overlapping", (), None)

    assert not _is_told(of("mode.timers"))
    assert _is_told(of("aiokafka.conn"))


def test_what_ends_as_a_line_of_ours_is_told_once() -> None:
    error = SessionOverError()
    by_argument = logging.LogRecord("a", logging.WARNING, "", 0, "failed: %s", (error,), None)
    by_traceback = logging.LogRecord(
        "a", logging.ERROR, "", 0, "failed", (), (SessionOverError, error, None)
    )
    assert not _is_told(by_argument)
    assert not _is_told(by_traceback)


def test_a_worker_ends_also_where_stopping_takes_too_long_and_says_nothing_of_it() -> None:
    code = """
import asyncio, contextlib, threading
from unittest.mock import AsyncMock, Mock
from streams import worker

async def stop():
    threading.Thread(target=threading.Event().wait).start()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()

worker._STOP_TIMEOUT_S = 0.1
app = Mock(crashed=False, state_log=AsyncMock(), start=AsyncMock(), stop=stop)
asked = asyncio.Event()
asked.set()
asyncio.run(worker._work(app, asked))
"""
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60)
    assert ended.returncode == 1
    assert b"did not stop within 0.1 s" in ended.stderr
