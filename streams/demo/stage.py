"""The demo's stage: the embedded broker, the topics and a worker, all gone when the block ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from streams import topics
from streams.embedded import embedded_broker, free_port, spawn, stop
from streams.errors import OperatorError
from streams.settings import ENV_PREFIX, Policy, Settings, load

#: Enough to be worth the name; few enough that each knows its peers after a day of the demo.
PARTITIONS = 4
#: One customer in a thousand touched over the whole week: with four active days each, that is a
#: false throttle in some thousands of account-days.
POLICY = Policy(mode="enforce", false_throttles_per_1000_account_days=0.1)
#: A worker's last words: enough for a traceback, few enough for a screen.
LOG_LINES_MAX = 30
_LOG_BYTES_MAX = 100_000
#: Its state is thrown away: nobody waits for a last checkpoint.
_STOP_TIMEOUT_S = 1.0

_WORKER = "from streams.commands import main; main(['worker'])"


class Stage:
    """What runs for the demo.

    Parameters
    ----------
    settings
        Those of the worker.
    process
        The worker.
    log
        Where it writes.
    """

    def __init__(
        self, settings: Settings, process: subprocess.Popen[bytes], log: IO[bytes]
    ) -> None:
        self.settings = settings
        self._process = process
        self._log = log

    def check(self) -> None:
        """Make sure that the worker lives.

        Raises
        ------
        WorkerEnded
            It does not.
        """
        status = self._process.poll()
        if status is not None:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise self.failed(f"the worker ended {how}")

    def failed(self, what: str) -> WorkerFailedError:
        """Return the error that says what is wrong with the worker, with its last words."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_BYTES_MAX))
        lines = self._log.read().decode(errors="replace").splitlines()
        return WorkerFailedError(what, lines[-LOG_LINES_MAX:])


class WorkerFailedError(OperatorError):
    """The worker ended or stands still; `log` has its last lines."""

    def __init__(self, what: str, log: list[str]) -> None:
        super().__init__(what)
        self.log = log


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start broker and worker on free ports of the loopback interface.

    The settings are the demo's own: whatever `PAIRWATCH_…` the caller's environment has is
    meant for another cluster.

    Raises
    ------
    OperatorError
        The embedded broker is not installed or does not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pairwatch-demo-") as directory,
        tempfile.TemporaryFile() as log,
        embedded_broker() as address,
    ):
        environment = _environment(address, directory)
        settings = load(environ=environment)
        await topics.create(settings)
        process = spawn(_command(environment), log)
        try:
            yield Stage(settings, process, log)
        finally:
            stop(process, _STOP_TIMEOUT_S)


def _environment(address: str, directory: str) -> dict[str, str]:
    told = {
        "KAFKA__BROKERS": address,
        # The embedded broker waits half as long as the first, and as long as the second, before
        # it lets a group begin.
        "KAFKA__SESSION_TIMEOUT_S": "6",
        "KAFKA__REBALANCE_TIMEOUT_S": "2",
        "TOPICS__PARTITIONS": str(PARTITIONS),
        "STATE__DIRECTORY": directory,
        "METRICS__LISTEN": f"127.0.0.1:{free_port()}",
        "POLICY__MODE": POLICY.mode,
        "POLICY__FALSE_THROTTLES_PER_1000_ACCOUNT_DAYS": str(
            POLICY.false_throttles_per_1000_account_days
        ),
    }
    return {ENV_PREFIX + name: value for name, value in told.items()}


def _command(environment: dict[str, str]) -> list[str]:
    """Return `pairwatch worker` by this Python, under this environment and no other settings."""
    env = shutil.which("env")
    if env is None:
        raise OperatorError("the demo needs the program env, which every Unix system has")
    foreign = [name for name in os.environ if name.startswith(ENV_PREFIX)]
    unset = [argument for name in foreign for argument in ("-u", name)]
    told = [f"{name}={value}" for name, value in environment.items()]
    return [env, *unset, *told, sys.executable, "-P", "-c", _WORKER]
