"""Keeps the decisions in force in Redis, for services that already ask Redis about accounts.

`pairwatch:account:<id>` and `pairwatch:group:<type>:<value>` hold a small JSON object for as long
as the decision is in force. `pairwatch:synced_at` says when that was last made sure of.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.decision import Decision, DecisionAction
from streams.codec import parse_rfc3339
from streams.decision_store import DecisionStore
from streams.errors import OperatorError
from streams.settings import load

log = logging.getLogger("pairwatch")

PREFIX = "pairwatch:"
SUBJECTS = (f"{PREFIX}account:", f"{PREFIX}group:")
#: Missing, it tells that Redis has forgotten everything; readers see from it how fresh all is.
SYNCED_AT = f"{PREFIX}synced_at"
#: So soon a flush is made good.
LOOK_INTERVAL_S = 1.0
#: So soon keys that somebody else removed or changed are put right.
SYNC_INTERVAL_S = 300.0
#: What has no end of its own is kept for a day past the last writer.
TTL_S_MAX = 86_400.0
#: Commands sent at once: some 300 KB.
PIPELINE_MAX = 1_000
#: A Redis that is there answers within milliseconds.
TIMEOUT_S = 5.0
_RETRY_S = 1.0


_T = TypeVar("_T")


class Entry(msgspec.Struct, frozen=True):
    """What is told of a decision: what enforcement needs, and nothing about other accounts."""

    decision_id: str
    action: DecisionAction
    limit_per_minute: float | None
    expires_at: str | None


def entries(decisions: Iterable[Decision]) -> dict[str, Entry]:
    """Return what should stand in Redis, by key."""
    return {
        f"{PREFIX}{each.key}": Entry(
            each.decision_id, each.action, each.limit_per_minute, each.expires_at
        )
        for each in decisions
    }


def ends_ms(entry: Entry, now_s: float) -> int:
    """Return when a key is to vanish, Unix milliseconds."""
    ends_s = now_s + TTL_S_MAX
    if entry.expires_at is not None:
        ends_s = min(ends_s, parse_rfc3339(entry.expires_at))
    return math.ceil(ends_s * 1_000)


def _chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    every = list(items)
    for start in range(0, len(every), PIPELINE_MAX):
        yield every[start : start + PIPELINE_MAX]


class Writer:
    """Brings Redis in step with the store.

    Parameters
    ----------
    redis
        The connection.
    store
        The decisions in force.
    """

    def __init__(self, redis: Redis, store: DecisionStore) -> None:
        self._redis = redis
        self._store = store
        self._written: dict[str, Entry] = {}
        self._synced_s = float("-inf")

    async def keep(self) -> None:
        """Write what changes until cancelled; a Redis that is away is waited for."""
        while True:
            await self._store.changed(LOOK_INTERVAL_S)
            if not self._store.ready:
                continue
            try:
                await self.step()
            except (RedisError, OSError) as error:
                self._synced_s = float("-inf")  # what arrived is not known
                log.warning("Redis: %s; trying again in %g s", error, _RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def step(self) -> None:
        """Write what has changed since the last time, or everything if Redis has forgotten it.

        Raises
        ------
        RedisError, OSError
            Redis did not take it.
        """
        now_s = time.time()
        due = entries(self._store.in_force.all(now_s))
        # A flush leaves no trace but this: the key that was there is gone.
        if now_s >= self._synced_s + SYNC_INTERVAL_S or not await self._redis.exists(SYNCED_AT):
            self._written = {}
            standing = {
                key
                for subject in SUBJECTS
                async for key in self._redis.scan_iter(f"{subject}*", count=PIPELINE_MAX)
            }
            gone = standing - {key.encode() for key in due}
            self._synced_s = now_s
        else:
            gone = {key.encode() for key in self._written.keys() - due.keys()}
        changed = {key: entry for key, entry in due.items() if self._written.get(key) != entry}
        for keys in _chunks(gone):
            await self._redis.unlink(*keys)
        for some in _chunks(changed.items()):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, entry in some:
                    pipeline.set(key, msgspec.json.encode(entry), pxat=ends_ms(entry, now_s))
                await pipeline.execute()
        # Last, so that it is true; as of when Kafka was last heard.
        await self._redis.set(SYNCED_AT, f"{now_s - self._store.lag_s:.3f}")
        self._written = due


@click.command()
@click.option("--config", metavar="FILE", help="TOML settings; default: $PAIRWATCH_CONFIG.")
@click.option(
    "--redis",
    "url",
    default="redis://127.0.0.1:6379/0",
    show_default=True,
    envvar="PAIRWATCH_REDIS",
    show_envvar=True,
    help="With a password rather in the environment than here.",
)
def main(config: str | None, url: str) -> None:
    """Keep the decisions in force in Redis."""
    logging.basicConfig(format="pairwatch redis: %(message)s")
    try:
        settings = load(config)
        try:
            redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        except ValueError as error:
            raise OperatorError(f"--redis: {error}") from None
        store = DecisionStore(settings.kafka, settings.topics.decisions_state)
        asyncio.run(_run(redis, store))
    except OperatorError as error:
        click.echo(f"pairwatch redis: {error}", err=True)
        sys.exit(2)


async def _run(redis: Redis, store: DecisionStore) -> None:
    async with redis, asyncio.TaskGroup() as tasks:
        tasks.create_task(store.follow())
        tasks.create_task(Writer(redis, store).keep())


if __name__ == "__main__":
    main()
