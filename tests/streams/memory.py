"""Replays day after day in this process, with new accounts each day, and prints its memory.

python -m tests.streams.memory DAYS
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from models.links import network_of_v6
from models.request import Request
from streams import judges
from streams.collector import spare_the_living
from streams.gateway.read import LoggedRequest
from streams.partitions import partition_of
from streams.replay import Replay
from streams.settings import load
from tests.benchmarks.events import START_S, Event, events

DAY_S = 86_400.0
EVENTS_A_DAY = 15_000
#: Of the accounts of a day so many are new, and as many of the day before are gone for ever.
ACCOUNTS, NEW = 3_000, 900
#: Far fewer than there are, so that those who are idle are let go from the first day on.
LIVE_MAX = 1_200


def day(number: int) -> Iterator[LoggedRequest]:
    """Make the requests of a day; the generator's are stretched to fill it."""
    made = [msgspec.json.decode(one.value, type=Request) for one in _day_events(number)]
    begin_s, end_s = made[0].ts, made[-1].ts
    for line, one in enumerate(made, start=1):
        who = int(re.sub(r"\D", "", one.account_id)) + number * NEW
        one.ts = START_S + (number + (one.ts - begin_s) / (end_s - begin_s) * 0.999) * DAY_S
        one.request_id = f"{number}.{line}"
        one.account_id = f"acct_{who}"
        one.owner_id = one.account_id if one.owner_id else None
        one.ip = f"10.{who >> 16}.{who >> 8 & 255}.{who & 255}"
        one.links = {"org": f"org-{who // 3}.example", "device": f"d_{who}"}
        yield LoggedRequest(one, f"day-{number}", line)


def _day_events(number: int) -> Iterator[Event]:
    return events(EVENTS_A_DAY, seed=number, accounts=ACCOUNTS)


def resident_bytes() -> int:
    """Return what this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(days: int) -> None:
    """Print a line a day: accounts so far, resident bytes."""
    spare_the_living()
    # Caches that fill up over weeks would look like growth: they are small, or full at once.
    judges.CACHE_KIB = 512
    for n in range(partition_of.cache_info().maxsize or 0):
        partition_of(b"%d" % n, 12)
    for n in range(network_of_v6.cache_info().maxsize or 0):
        network_of_v6(f"2001:db8:{n:x}::1")
    settings = load(None)
    state = msgspec.structs.replace(settings.state, accounts_in_memory_max=LIVE_MAX)
    settings = msgspec.structs.replace(settings, state=state)
    replay = Replay(settings, "memory", lambda _: None, lambda _: None)
    for number in range(days):
        replay.run(day(number), lambda: None)
        print(replay.summary.accounts, resident_bytes(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
