"""Workers that live one after the other on one disk, each until something ends it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import rocksdict

from streams import faults
from streams.settings import Settings
from tests.integration.workers import Worker

#: Has loaded all its code before it is told to begin: loading takes longer than most lives.
_LIFE = """
import pathlib, time
import streams.commands.worker, streams.worker
from streams.commands import main

while not pathlib.Path({go!r}).exists():
    time.sleep(0.005)
{fault}
main(["worker"])
"""
_FAULT = """
import os, signal
from streams import faults

left = {passes}

def reached(point):
    global left
    if point == {point!r}:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

faults.reached = reached
"""


class Life:
    """A worker that waits, all its code loaded, until it may `begin`.

    Parameters
    ----------
    settings, directory
        As `worker` takes them.
    point, passes
        Where it kills itself, when it comes there for the how many-th time; `None` for nowhere.
    """

    def __init__(
        self, settings: Settings, directory: Path, point: faults.Point | None, passes: int
    ) -> None:
        self.point = point
        directory.mkdir(parents=True, exist_ok=True)
        self._go = directory / f"go-{random.SystemRandom().getrandbits(64):x}"
        fault = _FAULT.format(point=point, passes=passes) if point else ""
        self.worker = Worker(settings, directory, _LIFE.format(go=str(self._go), fault=fault), None)

    def begin(self) -> Worker:
        """Let it run."""
        self._go.touch()
        return self.worker


class Lives:
    """Starts workers, and ends those that are left when the block ends."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self.directory = directory
        self._started: list[Life] = []

    def prepare(self, point: faults.Point | None = None, passes: int = 1) -> Life:
        """Start a worker that waits."""
        life = Life(self._settings, self.directory, point, passes)
        self._started.append(life)
        return life

    def __enter__(self) -> Lives:
        return self

    def __exit__(self, *_: object) -> None:
        for life in self._started:
            life.worker.kill()


def databases(directory: Path) -> list[Path]:
    """Return where the partitions' databases stand, those that were set aside left out."""
    return sorted(directory.glob("state/**/accounts-*.db"))


def empty_disk(directory: Path, chance: random.Random) -> None:
    """Lose the disk."""
    shutil.rmtree(directory / "state", ignore_errors=True)


def damage_disk(directory: Path, chance: random.Random) -> None:
    """Spoil a file of one database that RocksDB can't do without, in one of the usual ways."""
    found = databases(directory)
    if not found:
        return
    database = chance.choice(found)
    files = [
        file
        for pattern in ("CURRENT", "MANIFEST-*", "*.sst", "*.log")
        for file in sorted(database.glob(pattern))
        if file.stat().st_size
    ]
    if files:
        spoil(chance.choice(files), chance)


def spoil(file: Path, chance: random.Random) -> None:
    """Turn bits of a file over, cut it, empty it or delete it."""
    data = bytearray(file.read_bytes())
    match chance.choice(("turn", "cut", "empty", "delete")):
        case "turn":
            for _ in range(20):
                data[chance.randrange(len(data))] ^= 0xFF
            file.write_bytes(data)
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "empty":
            file.write_bytes(b"")
        case _:
            file.unlink()


def rows_on_disk(directory: Path) -> dict[int, dict[bytes, bytes]]:
    """Return each partition's rows as they stand in RocksDB after a worker has ended."""
    found = {}
    for path in databases(directory):
        options = rocksdict.Options(raw_mode=True)
        database = rocksdict.Rdict(str(path), options, access_type=rocksdict.AccessType.read_only())
        rows = dict(database.items())
        database.close()
        found[int(path.stem.rpartition("-")[2])] = {
            key: value for key, value in rows.items() if not key.startswith(b"__faust")
        }
    return found
