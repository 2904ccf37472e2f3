"""`pairwatch decisions`: list or follow the decisions in Kafka."""

from __future__ import annotations

import asyncio
import heapq
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, get_args

import click
import msgspec
import orjson
from rich.console import Console

from models.decision import Decision, DecisionAction
from streams.codec import TS_AHEAD_MAX_S, InvalidRequest, parse_rfc3339
from streams.commands.options import config_option
from streams.consume import Log, Record, open_log
from streams.errors import OperatorError
from streams.render import moment, printable, styled
from streams.settings import load

#: Repeats are what a worker does again after a crash: at most what it decided since its last
#: checkpoint. This is hours of decisions, in about 15 MB.
SEEN_MAX = 100_000
#: Listed decisions wait in memory for the newest to be known; each is a few KB.
LIMIT_MAX = 100_000

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Listed(msgspec.Struct, frozen=True, order=True):
    """A decision on its way to the reader; ordered by event time, then as it stood in Kafka."""

    issued_s: float
    place: tuple[int, int]
    decision: Decision
    #: As it came: `--json` keeps the fields of later versions.
    parsed: dict[str, Any]


class Query(msgspec.Struct, frozen=True):
    """Which decisions are asked for; an empty tuple asks for all."""

    accounts: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    since_s: float | None = None

    def wants(self, listed: Listed) -> bool:
        """Return whether a decision is among them."""
        decision = listed.decision
        if self.accounts and (decision.scope != "account" or decision.value not in self.accounts):
            return False
        if self.actions and decision.action not in self.actions:
            return False
        if self.scenarios and decision.scenario not in self.scenarios:
            return False
        return self.since_s is None or listed.issued_s >= self.since_s


class Reader:
    """Turns records into the decisions asked for, each once.

    Parameters
    ----------
    query
        What is asked for.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._seen: OrderedDict[str, None] = OrderedDict()
        #: Messages that are no decision this version understands.
        self.strange = 0

    def read(self, record: Record) -> Listed | None:
        """Return the record's decision if it is asked for and new."""
        try:
            parsed = orjson.loads(record.value or b"")
            decision = msgspec.convert(parsed, Decision)
            issued_s = moment(decision.issued_at).timestamp()
            if decision.expires_at is not None:
                moment(decision.expires_at)
        except (ValueError, msgspec.ValidationError):
            self.strange += 1
            return None
        if decision.decision_id in self._seen:
            return None
        self._seen[decision.decision_id] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        place = (record.partition, record.offset)
        listed = Listed(issued_s, place, decision, parsed)
        return listed if self._query.wants(listed) else None


def parse_since(text: str, now_s: float) -> float:
    """Read `2h`, `30m`, `7d`, `90s` or an RFC 3339 time as Unix seconds.

    Raises
    ------
    OperatorError
        It is neither.
    """
    duration = _DURATION.fullmatch(text)
    if duration:
        return now_s - int(duration[1]) * _SECONDS[duration[2]]
    try:
        return parse_rfc3339(text)
    except InvalidRequest:
        raise OperatorError(
            f"--since: {text!r} is neither like 30m, 2h or 7d nor like 2024-03-02T20:00:00Z"
        ) from None


@click.command()
@config_option
@click.option("--account", "accounts", multiple=True, metavar="ID", help="Only about this account.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice(get_args(DecisionAction)),
    help="Only this action.",
)
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Only this scenario.")
@click.option(
    "--since",
    metavar="TIME",
    help="Only those issued since: 30m, 2h, 7d, or an RFC 3339 time; in event time.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    help="List only the newest ones.",
)
@click.option("--follow", is_flag=True, help="Then go on with new ones until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    config: str | None,
    accounts: tuple[str, ...],
    actions: tuple[str, ...],
    scenarios: tuple[str, ...],
    since: str | None,
    limit: int,
    follow: bool,
    as_json: bool,
) -> None:
    """List or follow the decisions in Kafka, oldest first, each once.

    Options that choose can be given several times: any of the values will do.
    """
    settings = load(config)
    since_s = None if since is None else parse_since(since, time.time())
    reader = Reader(Query(accounts, actions, scenarios, since_s))
    show: Callable[[Listed], None] = _show_json if as_json else _Lines()

    async def run() -> None:
        # A message can be older than the event time that it carries: gateways' clocks run ahead.
        begin_s = None if since_s is None else max(0.0, since_s - TS_AHEAD_MAX_S)
        async with open_log(settings.kafka, settings.topics.decisions, begin_s) as log:
            for listed in await newest(log.backlog(), reader, limit):
                show(listed)
            _warn(reader.strange, settings.topics.decisions)
            if follow:
                await _follow(log, reader, show)

    with suppress(KeyboardInterrupt):  # how --follow is meant to end
        asyncio.run(run())


async def newest(records: AsyncIterator[Record], reader: Reader, limit: int) -> list[Listed]:
    """Return the newest decisions asked for, oldest first; never more than `limit` are held."""
    kept: list[Listed] = []
    async for record in records:
        listed = reader.read(record)
        if listed is None:
            continue
        if len(kept) < limit:
            heapq.heappush(kept, listed)
        else:
            heapq.heappushpop(kept, listed)
    return sorted(kept)


async def _follow(log: Log, reader: Reader, show: Callable[[Listed], None]) -> None:
    async for record in log.follow():
        strange_before = reader.strange
        listed = reader.read(record)
        _warn(reader.strange - strange_before, record.topic)
        if listed is not None:
            show(listed)


def _show_json(listed: Listed) -> None:
    click.echo(orjson.dumps(listed.parsed))


class _Lines:
    """Shows decisions as lines, in colour on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def __call__(self, listed: Listed) -> None:
        line = styled(listed.decision)
        # What `explain`, `approve`, `overturn` and the others are told.
        line.append(f"  {printable(listed.decision.decision_id)}", style="dim")
        self._console.print(line, soft_wrap=True)


def _warn(strange: int, topic: str) -> None:
    if strange:
        click.echo(
            f"pairwatch: skipped {strange:,} of the messages in {topic}: "
            "not a decision that this version understands",
            err=True,
        )
