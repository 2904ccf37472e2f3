"""Redis holds what is in force, no longer than it is, and gets it back when it forgets."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from deploy.enforcement.redis.writer import (
    SYNCED_AT,
    TTL_S_MAX,
    Entry,
    Writer,
    ends_ms,
    entries,
)
from models.decision import Decision, rfc3339
from streams.decision_store import DecisionStore
from streams.settings import Settings
from tests.decisions import NOW_S, ban, decision, message, state_topic_of, tombstone, tomorrow
from tests.deploy.enforcement.programs import RedisServer, becomes, example, run_example

BANNED = ban(1, "bad", expires_at=tomorrow())
SLOW = decision(1, "slow", expires_at=tomorrow(), limit_per_minute=0.5)
OF_GROUP = ban(1, "org:example.com", scope="group", expires_at=None)


@pytest.fixture
def server(tmp_path: Path) -> RedisServer:
    return RedisServer(tmp_path)


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    with server.running():
        async with Redis.from_url(server.url) as redis:
            yield redis


class Kept:
    """A store that follows nothing, and a writer that keeps Redis in step with it."""

    def __init__(self, redis: Redis) -> None:
        self.store = DecisionStore(Settings().kafka, "pairwatch.decisions.state")
        self.store._fresh_at_s = time.time()
        self.writer = Writer(redis, self.store)

    async def put(self, *decisions: Decision) -> None:
        for each in decisions:
            self.store.in_force.apply(*message(each), time.time())
        await self.writer.step()

    async def lift(self, of: Decision) -> None:
        self.store.in_force.apply(*tombstone(of), time.time())
        await self.writer.step()


@pytest.fixture
def kept(redis: Redis) -> Kept:
    return Kept(redis)


async def told(redis: Redis) -> dict[str, Any]:
    keys = [key async for key in redis.scan_iter("pairwatch:*") if key != SYNCED_AT.encode()]
    values = [(key, await redis.get(key)) for key in keys]  # one may be removed meanwhile
    return {key.decode(): msgspec.json.decode(value) for key, value in values if value}


# What is written.


def test_enforcement_is_told_what_it_needs_and_nothing_of_other_accounts() -> None:
    assert entries([SLOW]) == {
        "pairwatch:account:slow": Entry("slow-1", "throttle", 0.5, SLOW.expires_at)
    }
    assert list(entries([OF_GROUP])) == ["pairwatch:group:org:example.com"]


def test_a_key_ends_with_its_decision_and_an_endless_one_a_day_after_the_last_writer() -> None:
    ends_s = {"soon": NOW_S + 60, "never": None, "far": NOW_S + 1e6}
    made = {
        name: Entry("d", "ban", None, None if at_s is None else rfc3339(at_s))
        for name, at_s in ends_s.items()
    }
    told_ms = {name: ends_ms(entry, NOW_S) for name, entry in made.items()}
    a_day_ms = math.ceil((NOW_S + TTL_S_MAX) * 1_000)
    assert told_ms == {"soon": (NOW_S + 60) * 1_000, "never": a_day_ms, "far": a_day_ms}


async def test_decisions_in_force_stand_in_redis_with_an_end(redis: Redis, kept: Kept) -> None:
    await kept.put(BANNED, SLOW, OF_GROUP)
    assert await told(redis) == {
        "pairwatch:account:bad": {
            "decision_id": "bad-1",
            "action": "ban",
            "limit_per_minute": None,
            "expires_at": BANNED.expires_at,
        },
        "pairwatch:account:slow": {
            "decision_id": "slow-1",
            "action": "throttle",
            "limit_per_minute": 0.5,
            "expires_at": SLOW.expires_at,
        },
        "pairwatch:group:org:example.com": {
            "decision_id": "org:example.com-1",
            "action": "ban",
            "limit_per_minute": None,
            "expires_at": None,
        },
    }
    for key in await told(redis):
        assert 0 < await redis.pttl(key) <= TTL_S_MAX * 1_000


async def test_what_is_lifted_or_replaced_is_so_in_redis(redis: Redis, kept: Kept) -> None:
    await kept.put(BANNED, SLOW)
    await kept.put(ban(2, "slow", expires_at=tomorrow()))
    await kept.lift(BANNED)
    assert {key: entry["action"] for key, entry in (await told(redis)).items()} == {
        "pairwatch:account:slow": "ban"
    }


@pytest.mark.parametrize("account_id", ["zoë", "a b\r\nDEL x", "*", "pairwatch:account:b", "\0"])
async def test_any_id_is_a_key(account_id: str, redis: Redis, kept: Kept) -> None:
    await kept.put(ban(1, account_id, expires_at=tomorrow()), BANNED)
    assert set(await told(redis)) == {f"pairwatch:account:{account_id}", "pairwatch:account:bad"}
    await kept.lift(ban(1, account_id))
    assert set(await told(redis)) == {"pairwatch:account:bad"}


async def test_after_a_flush_everything_stands_there_again(redis: Redis, kept: Kept) -> None:
    await kept.put(BANNED, SLOW)
    before = await told(redis)
    await redis.flushall()
    await kept.writer.step()
    assert await told(redis) == before


async def test_what_was_lifted_while_no_writer_ran_is_removed(redis: Redis, kept: Kept) -> None:
    await kept.put(BANNED, SLOW)
    await redis.set("pairwatch:other", "1")
    later = Kept(redis)
    await later.put(SLOW)
    assert set(await redis.keys("pairwatch:[ao]*")) == {
        b"pairwatch:account:slow",
        b"pairwatch:other",
    }


async def test_more_decisions_than_one_pipeline_takes_are_written_and_removed(
    redis: Redis, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.enforcement.redis.writer.PIPELINE_MAX", 2)
    many = [ban(1, f"acct_{number}", expires_at=tomorrow()) for number in range(5)]
    await kept.put(*many)
    assert len(await told(redis)) == 5
    for each in many:
        kept.store.in_force.apply(*tombstone(each), time.time())
    await kept.writer.step()
    assert await told(redis) == {}


async def test_readers_see_how_fresh_it_is(redis: Redis, kept: Kept) -> None:
    await kept.put()
    assert float(await redis.get(SYNCED_AT) or 0) <= time.time()
    fresh_at_s = kept.store._fresh_at_s
    await kept.writer.step()
    assert float(await redis.get(SYNCED_AT) or 0) == pytest.approx(fresh_at_s, abs=0.1)


# The program.


async def test_the_program_writes_what_stands_in_kafka_and_survives_redis(
    server: RedisServer, settings_for_broker: Settings, tmp_path: Path
) -> None:
    async with state_topic_of(settings_for_broker) as state, Redis.from_url(server.url) as redis:
        await state.put(BANNED)
        with example("redis/writer.py", settings_for_broker, tmp_path, "--redis", server.url):

            async def subjects() -> set[str]:
                return set(await told(redis))

            with server.running():
                await becomes(subjects, {"pairwatch:account:bad"})
                await state.put(SLOW)
                await becomes(subjects, {"pairwatch:account:bad", "pairwatch:account:slow"})
                await state.lift(BANNED)
                await becomes(subjects, {"pairwatch:account:slow"})
                await redis.flushall()
                await becomes(subjects, {"pairwatch:account:slow"})
            await redis.connection_pool.disconnect()
            with server.running():  # empty, as it keeps nothing on disk
                await becomes(subjects, {"pairwatch:account:slow"})


def test_an_address_that_is_none_is_said_in_one_line() -> None:
    done = run_example("redis/writer.py", "--redis", "redis//x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pairwatch redis: --redis: ")
    assert len(done.stderr.splitlines()) == 1
