"""What a person sees of the demo: the running week, the decisions, and the summary in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from models.decision import Decision
from streams.demo.play import Audience, Progress
from streams.demo.summary import Attacker, Stop, Summary
from streams.render import moment, printable, styled
from streams.simulate import World

_BEGINS = "starting a broker and a worker ..."
#: Decisions that stay in sight.
_SHOWN_MAX = 12
#: Where there is no terminal, a line for each half day of the week.
_LINE_EVERY_S = 43_200
_PAST = {"ban": "banned", "throttle": "throttled"}


@contextmanager
def screen(world: World, console: Console) -> Iterator[Audience]:
    """Show the demo: live on a terminal, in plain lines elsewhere."""
    if not console.is_terminal:
        console.print(_BEGINS)
        yield _Lines(console)
        return
    picture = _Picture(world)
    with Live(console=console, get_renderable=picture.render, refresh_per_second=8):
        yield picture


class _Lines:
    """Tells the week in plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0

    def progressed(self, progress: Progress) -> None:
        if progress.event_time_s and progress.event_time_s >= self._next_s:
            self._next_s = progress.event_time_s + _LINE_EVERY_S
            self._console.print(_headline(progress), soft_wrap=True)

    def decided(self, decision: Decision) -> None:
        self._console.print(styled(decision), soft_wrap=True)


class _Picture:
    """A headline that runs through the week, below it the latest decisions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shown: deque[Text] = deque(maxlen=_SHOWN_MAX)
        self._decisions = 0
        self._head = _BEGINS
        self._done_s = 0.0

    def progressed(self, progress: Progress) -> None:
        if progress.event_time_s:
            self._head = _headline(progress)
            self._done_s = progress.event_time_s - self._world.start_s

    def decided(self, decision: Decision) -> None:
        self._decisions += 1
        self._shown.append(_cut(styled(decision)))

    def render(self) -> Group:
        hidden = self._decisions - len(self._shown)
        return Group(
            _cut(Text(self._head, style="bold")),
            ProgressBar(total=self._world.end_s - self._world.start_s, completed=self._done_s),
            *([Text(f"{hidden:,} earlier decisions", style="dim")] if hidden else []),
            *self._shown,
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


def told(summary: Summary) -> list[str]:
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
    if all(attacker.banned for attacker in summary.attackers):
        lines.append(
            f"When the last one was banned they had {summary.pairs_at_ban:,} pairs together, "
            f"{summary.pairs_at_ban / size:.2%} of the catalogue."
        )
    lines += [
        "Nobody enforces the decisions in the demo, not even a throttle: the recorded copy goes",
        f"on to {summary.pairs_unhindered:,} pairs ({summary.pairs_unhindered / size:.2%}).",
        "",
        f"Of the {others.accounts:,} others {others.touched} were touched "
        f"({others.touched_per_1000:g} in a thousand), on {others.touched_days} of their "
        f"{others.account_days:,} account-days.",
    ]
    lines += [
        f"  {count} {kind}: {_PAST[action]}"
        for kind, actions in others.by_kind.items()
        for action, count in actions.items()
    ]
    return lines


def _told_attacker(attacker: Attacker) -> list[str]:
    return [
        f"  {printable(attacker.account_id)}, from {moment(attacker.attack_start):%a %H:%M:%S}Z",
        _told_stop("throttled", attacker.throttled),
        _told_stop("banned", attacker.banned),
    ]


def _told_stop(what: str, stop: Stop | None) -> str:
    if stop is None:
        return f"    {what:<9} never"
    minutes, seconds = divmod(int(stop.after_s), 60)
    after = f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
    return (
        f"    {what:<9} {moment(stop.at):%H:%M:%S}Z, after {after} and {stop.pairs:,} pairs: "
        f"{stop.catalogue_share:.2%} of the catalogue, {stop.taken_share:.2%} of its copy"
    )
