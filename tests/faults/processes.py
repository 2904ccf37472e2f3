"""What a running process uses and may use, as Linux tells."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
from pathlib import Path

from tests.integration.workers import Worker

_LISTENS = "0A"


def fill_disk(worker: Worker) -> None:
    """Let no file of the worker grow any more."""
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (1, 1))


def resident_bytes(worker: Worker) -> int:
    """Return how much memory it takes."""
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def listening(worker: Worker) -> set[tuple[str, int]]:
    """Return the addresses that it listens on; those of IPv6 as Linux writes them."""
    process = Path(f"/proc/{worker.pid}")
    sockets = set()
    for file in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            sockets.add(os.readlink(file))
    found = set()
    for family in ("tcp", "tcp6"):
        for line in (process / "net" / family).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTENS and f"socket:[{inode}]" in sockets:
                host, _, port = local.partition(":")
                if family == "tcp":
                    host = socket.inet_ntoa(struct.pack("=I", int(host, 16)))
                found.add((host, int(port, 16)))
    return found
