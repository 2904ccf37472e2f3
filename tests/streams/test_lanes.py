"""Each partition's batches in order, and no partition held up by another."""

from __future__ import annotations

import asyncio

from faust.types import TP

from streams.lanes import PAUSE_AT, RESUME_AT, Lanes

ONE, OTHER = TP("requests", 0), TP("requests", 1)


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_one_that_waits_holds_up_its_own_partition_only() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), []

    async def wait(name: str) -> None:
        await gate.wait()
        done.append(name)

    async def work(name: str) -> None:
        done.append(name)

    lanes.put(ONE, lambda: wait("one 1"))
    lanes.put(ONE, lambda: work("one 2"))
    lanes.put(OTHER, lambda: work("other 1"))
    await settle()
    assert done == ["other 1"]
    gate.set()
    await settle()
    lanes.put(ONE, lambda: work("one 3"))
    await settle()
    assert done == ["other 1", "one 1", "one 2", "one 3"]


async def test_a_full_partition_is_fetched_again_once_there_is_room() -> None:
    lanes, turns = Lanes(), asyncio.Semaphore(0)

    async def work() -> None:
        await turns.acquire()

    for _ in range(PAUSE_AT):
        lanes.put(ONE, work)
    lanes.put(OTHER, work)
    assert lanes.full == {ONE}
    for _ in range(PAUSE_AT - RESUME_AT + 1):
        turns.release()
    await settle()
    assert lanes.full == set()


async def test_what_is_revoked_is_forgotten_and_begins_anew() -> None:
    lanes, done = Lanes(), []

    async def never() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        done.append("anew")

    for _ in range(PAUSE_AT):
        lanes.put(ONE, never)
    await settle()
    lanes.drop([ONE])
    assert lanes.full == set()
    lanes.put(ONE, work)
    await settle()
    assert done == ["anew"]


async def test_at_the_end_what_is_queued_is_not_worked_on() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append("too late")

    for partition in (ONE, OTHER):
        lanes.put(partition, work)
        lanes.put(partition, work)
    await settle()
    lanes.clear()
    gate.set()
    await settle()
    assert done == []
