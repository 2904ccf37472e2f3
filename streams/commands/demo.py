"""`pairwatch demo`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from models.decision import Decision
from streams.demo.play import Progress, play
from streams.demo.stage import WorkerFailedError, stage
from streams.demo.summary import Attacker, Stop, Summary, summarise
from streams.render import moment, printable, styled
from streams.simulate import World, simulate

#: A week of so many accounts is over within a minute and still has peers of every kind.
ACCOUNTS = 2_000
_SCENARIO = "saturday-night"
#: Decisions that stay in sight.
_SHOWN_MAX = 12
#: Where there is no terminal, one line for each half day of the week.
_LINE_EVERY_S = 43_200
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--seed", default=1, show_default=True, help="Another seed is another week.")
@click.option(
    "--accounts",
    default=ACCOUNTS,
    show_default=True,
    help="Paying accounts in the simulated week; fewer are faster, and tell less apart.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(seed: int, accounts: int, as_json: bool) -> None:
    """Watch a simulated incident being noticed; takes about a minute and needs nothing else.

    An image platform sells access to a catalogue of prompt/image pairs. On a Saturday night two
    accounts of one company copy it. The demo starts a small Kafka-compatible broker in memory
    and the real detector (`pairwatch worker`), sends it a week of made-up requests of honest
    customers and of the two, far faster than they would come, and shows each decision as it is
    made. At the end the decisions are held against the truth: who was stopped, how soon, and
    who was bothered without cause.

    Everything runs on this machine's loopback interface and is gone afterwards, also after
    Ctrl-C.
    """
    world = simulate(_SCENARIO, seed=seed, accounts=accounts)
    console = Console(stderr=as_json, highlight=False)
    interrupted: list[int] = []
    try:
        summary = asyncio.run(_run(world, accounts, console, interrupted))
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("pairwatch: stopped; broker, worker and their files are gone", err=True)
        sys.exit(128 + (interrupted or [signal.SIGINT])[0])
    except WorkerFailedError as error:
        click.echo("\n".join(error.log), err=True)
        raise
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    else:
        console.print("\n".join(_told(summary)), markup=False, soft_wrap=True)


async def _run(world: World, accounts: int, console: Console, interrupted: list[int]) -> Summary:
    _cancel_on_signals(interrupted)
    with ExitStack() as stack:
        audience: _Screen | _Lines = (
            stack.enter_context(_Screen(world, console)) if console.is_terminal else _Lines(console)
        )
        audience.begins("starting a broker and a worker")
        async with stage() as ready:
            labels = await asyncio.to_thread(lambda: world.labels)
            played = await play(ready, world, labels, audience)
    return summarise(world, accounts, labels, played)


def _cancel_on_signals(interrupted: list[int]) -> None:
    """End only where the program waits: nothing is then left half started or half stopped."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel(number: int) -> None:
        if not interrupted and task is not None:  # once: a second one must not cut the end short
            interrupted.append(number)
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, cancel, number)


class _Lines:
    """Tells the week in plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0

    def begins(self, what: str) -> None:
        self._console.print(f"{what} ...")

    def progressed(self, progress: Progress) -> None:
        if progress.event_time_s and progress.event_time_s >= self._next_s:
            self._next_s = progress.event_time_s + _LINE_EVERY_S
            self._console.print(_headline(progress), soft_wrap=True)

    def decided(self, decision: Decision) -> None:
        self._console.print(styled(decision), soft_wrap=True)


class _Screen:
    """Shows the week on a terminal: a headline that runs, below it the latest decisions."""

    def __init__(self, world: World, console: Console) -> None:
        self._world = world
        self._shown: deque[Text] = deque(maxlen=_SHOWN_MAX)
        self._decisions = 0
        self._head = ""
        self._done_s = 0.0
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begins(self, what: str) -> None:
        self._head = f"{what} ..."

    def progressed(self, progress: Progress) -> None:
        if progress.event_time_s:
            self._head = _headline(progress)
            self._done_s = max(progress.event_time_s - self._world.start_s, 0.0)

    def decided(self, decision: Decision) -> None:
        self._decisions += 1
        self._shown.append(styled(decision))

    def _render(self) -> Group:
        total_s = self._world.end_s - self._world.start_s
        hidden = self._decisions - len(self._shown)
        lines = [_cut(Text(f"({hidden} earlier decisions)", style="dim"))] if hidden else []
        return Group(
            _cut(Text(self._head, style="bold")),
            ProgressBar(total=total_s, completed=self._done_s),
            *lines,
            *map(_cut, self._shown),
        )


def _cut(line: Text) -> Text:
    """Keep a line one line, however narrow the terminal."""
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _headline(progress: Progress) -> str:
    at = datetime.fromtimestamp(progress.event_time_s, UTC)
    return (
        f"{at:%a %Y-%m-%d %H:%M}Z  {progress.events:>9,} events  "
        f"{progress.events_per_s:>7,.0f} events/s  {progress.accounts:>6,} accounts"
    )


def _told(summary: Summary) -> list[str]:
    """Tell the summary in lines."""
    others, size = summary.others, summary.catalogue_size
    lines = [
        "",
        f"A week in {summary.seconds:.0f} s: {summary.events:,} events of {summary.accounts:,} "
        f"accounts, {summary.events_per_s:,} a second; {summary.decisions} decisions.",
        "",
        f"{len(summary.attackers)} accounts copied the catalogue of {size:,} pairs:",
    ]
    for attacker in summary.attackers:
        lines += _told_attacker(attacker)
    lines += [
        f"Together they had {summary.pairs_at_ban:,} pairs when banned "
        f"({summary.pairs_at_ban / size:.1%} of the catalogue); the copy goes on to "
        f"{summary.pairs_unhindered:,} ({summary.pairs_unhindered / size:.1%}),",
        "for the traffic is a recording and nobody enforces the decisions here, not even the "
        "throttle.",
        "",
        f"Of the {others.accounts:,} others {others.touched} were touched "
        f"({others.touched_per_1000:g} in a thousand).",
    ]
    lines += [
        f"  {count} {kind}: {'banned' if action == 'ban' else 'throttled for an hour at most'}"
        for kind, actions in others.by_kind.items()
        for action, count in actions.items()
    ]
    return lines


def _told_attacker(attacker: Attacker) -> list[str]:
    name = f"  {printable(attacker.account_id)}  from {moment(attacker.attack_start):%a %H:%M:%S}Z"
    return [
        name,
        _told_stop("throttled", attacker.throttled),
        _told_stop("banned", attacker.banned),
    ]


def _told_stop(what: str, stop: Stop | None) -> str:
    if stop is None:
        return f"    {what:<10} never"
    minutes, seconds = divmod(round(stop.after_s), 60)
    after = f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
    return (
        f"    {what:<10} {moment(stop.at):%a %H:%M:%S}Z, after {after:>12} and {stop.pairs:>7,} "
        f"pairs: {stop.catalogue_share:.1%} of the catalogue, {stop.taken_share:.1%} of its copy "
        f"({stop.scenario})"
    )
