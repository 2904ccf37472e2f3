"""Running a worker from its first look at the topics to its last checkpoint."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from faust.exceptions import ConsistencyError

from streams import group, health, topics
from streams.app import App, create_app
from streams.errors import OperatorError
from streams.fence import SessionOverError
from streams.settings import Settings
from streams.state_directory import claimed
from streams.topic_plan import changelog_topic

log = logging.getLogger("pairwatch")

#: A checkpoint takes well under a second. A broker that is away must not hold up the end: with the
#: probes, which are given a second, it comes within ten, the least that supervisors grant (Docker;
#: Kubernetes: 30 s). What is not committed is done again.
_STOP_TIMEOUT_S = 8.0
#: A terminal that is closed hangs up.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(settings: Settings) -> None:
    """Run a worker until SIGTERM, Ctrl-C, or SIGHUP unless `nohup` has it ignored.

    After a bug, or when Kafka has failed for too long, the process ends with status 1.

    Raises
    ------
    OperatorError
        Something outside the code keeps it from working, at the start or later.
    """
    _set_up_logging()
    with claimed(settings.state.directory):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    await _check_topics(settings)
    await group.check(settings)
    app = create_app(settings)
    # Probes are answered from the first moment: recovery can take minutes.
    probes = await health.start(settings.metrics.listen, app.metrics, app.readiness)
    try:
        policy = settings.policy
        log.info(
            "pairwatch %s reads %s as group %s in %s mode; budgets: %g false throttles in 1,000 "
            "account days, %g false bans in 100,000",
            app.version,
            settings.topics.requests,
            settings.kafka.group,
            policy.mode,
            policy.false_throttles_per_1000_account_days,
            policy.false_bans_per_100000_account_days,
        )
        with _stop_signals() as asked_to_stop:
            await _work(app, asked_to_stop)
    finally:
        await probes.cleanup()
    if isinstance(app.crash_reason, ConsistencyError):
        raise OperatorError(
            f"state.directory: {settings.state.directory} holds state that its changelog "
            f"{changelog_topic(settings)} lacks; if that was made anew, empty the directory"
        )
    if isinstance(app.crash_reason, OperatorError):
        app.checkpointer.clear()
        # Without its tracebacks, which hold on to live objects.
        app.crash_reason.__context__ = None
        raise app.crash_reason.with_traceback(None)
    if app.crashed:
        _end_at_once(f"stopped by {app.crash_reason!r}")
    if app.checkpointer.is_settled:
        log.info("stopped; all that was judged is durable")
    else:
        log.warning("stopped; what was not committed is done again")
    app.lanes.clear()
    app.checkpointer.clear()


async def _work(app: App, asked_to_stop: asyncio.Event) -> None:
    """Run the application until it is asked to stop or fails, then stop it."""

    async def work() -> None:
        await app.state_log.start()
        await app.start()
        await app.wait_until_stopped()

    working = asyncio.create_task(work())
    asked = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if app.crashed:
        # The reason is told already; what breaks while Faust takes itself apart is no news.
        logging.disable(logging.ERROR)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S) as limit:
            await app.stop()
            await app.state_log.stop()
    except Exception as error:
        _end_at_once(f"the last checkpoint failed: {error!r}")
    if limit.expired():  # which Faust may swallow, and then its thread would never end
        _end_at_once(f"did not stop within {_STOP_TIMEOUT_S:g} s")
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()


def _end_at_once(why: str) -> NoReturn:
    """End the process in its tracks, as threads of a client that waits would keep it alive."""
    log.critical("%s; what was not committed is done again", why)
    logging.shutdown()
    os._exit(1)


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Set an event at the first signal to end; a second one ends the process at once."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    is_to_outlast = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as `nohup` leaves it
    numbers = [each for each in _SIGNALS if not (is_to_outlast and each is signal.SIGHUP)]

    def restore() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    def stop(number: signal.Signals) -> None:
        restore()
        asked.set()
        log.info("%s: ending with a checkpoint; once more ends at once", number.name)

    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield asked
    finally:
        restore()


async def _check_topics(settings: Settings) -> None:
    """Refuse to start on topics that would lose events or part accounts from their state."""
    reports = {report.name: report for report in await topics.check(settings)}
    if missing := [name for name, report in reports.items() if report.status == "missing"]:
        raise OperatorError(
            f"there is no topic {', '.join(missing)} at {settings.kafka.brokers}; "
            "create them with: pairwatch topics"
        )
    source = reports[settings.topics.accounts_source]
    changelog = reports[changelog_topic(settings)]
    for report, partitions in (
        (source, settings.topics.partitions),
        (changelog, source.partitions),
    ):
        if report.partitions != partitions:
            raise OperatorError(
                f"topic {report.name}: {report.differences[0]} (see: pairwatch topics --check)"
            )
    for report in reports.values():
        for difference in report.differences:
            log.warning("topic %s: %s", report.name, difference)


#: What would begin a new line, move the cursor or hide text: controls, separators of lines and
#: paragraphs, and the marks that turn the direction of writing.
_FORGES = {
    n: f"\\u{n:04x}"
    for ranges in ((0, 32), (127, 160), (0x200B, 0x2010), (0x2028, 0x202F), (0x2066, 0x206A))
    for n in range(*ranges)
} | {0xFEFF: "\\ufeff"}


class _Lines(logging.Formatter):
    """One line for each record, and tracebacks set in, so that input can forge neither."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- its name there
        return super().formatMessage(record).translate(_FORGES)

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- its name there
        return textwrap.indent(super().formatException(ei), "  ")


def _set_up_logging() -> None:
    """Log what an operator wants to read: our own lines, and others' from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_is_told)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


#: Errors for which there is a line of ours.
_TOLD_IN_ONE_LINE = OperatorError | ConsistencyError | SessionOverError


def _is_told(record: logging.LogRecord) -> bool:
    # Faust gives each of its loggers a level of its own, so that theirs can't be set in one place.
    if record.levelno < logging.WARNING:
        return record.name == log.name
    # A checkpoint may take longer than its interval: the next one begins when it is done, and
    # pairwatch_checkpoint_seconds tells.
    if record.name == "mode.timers":
        return False
    # Faust and others log with a traceback what ends as our one line.
    told = *(record.args or ()), *(record.exc_info or ())
    return not any(isinstance(each, _TOLD_IN_ONE_LINE) for each in told)
