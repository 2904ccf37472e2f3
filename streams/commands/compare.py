"""`pairwatch compare`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any

import click
import msgspec
import orjson

from streams import settings as settings_reader
from streams.collector import spare_the_living
from streams.commands.options import format_option
from streams.commands.reading_bar import reading_bar
from streams.compare import Course, Difference, Outcome, Trial, differences, settings_apart
from streams.errors import OperatorError
from streams.gateway.files import STDIN, Progress
from streams.gateway.read import read_requests
from streams.render import printable
from streams.settings import Settings
from streams.wording import count, duration, seconds_between

_SIDES = ("A", "B")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    help="TOML settings; give it twice: A, then B.",
)
@format_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Show at most so many differences.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all differences as JSON.")
def command(
    files: tuple[str, ...],
    configs: tuple[str, ...],
    format_name: str,
    limit: int,
    as_json: bool,
) -> None:
    """Run a log through two configurations, A and B: whom each would hit, and the difference.

    The log is read twice, once for each, and each reads it by its own [gateway] rules. Variables
    of the environment apply to both. Whether decisions are simulated does not keep an account
    from being hit, but counts as a difference.
    """
    if len(configs) != len(_SIDES):
        raise OperatorError(
            f"compare takes --config twice, for A and for B; given: {len(configs)} times"
        )
    if STDIN in files:
        raise OperatorError("compare reads the log twice: give files, not standard input")
    settings = [settings_reader.load(config) for config in configs]
    spare_the_living()
    arrived_s = time.time()
    a, b = (
        _try(side, each, files, format_name, arrived_s)
        for side, each in zip(_SIDES, settings, strict=True)
    )
    apart = settings_apart(*settings)
    found = differences(a, b)
    if as_json:
        click.echo(orjson.dumps(_as_dict(configs, settings, apart, (a, b), found)))
        return
    for line in describe(configs, apart, (a, b), found, limit):
        click.echo(line)


def _try(
    side: str, settings: Settings, files: tuple[str, ...], format_name: str, arrived_s: float
) -> Outcome:
    reading = Progress.of(files)
    log = read_requests(files, format_name, settings, arrived_s, reading)
    with reading_bar(side, reading) as step:
        return Trial(settings, version("pairwatch")).run(log, step)


def describe(
    configs: tuple[str, ...],
    apart: dict[str, tuple[Any, Any]],
    outcomes: tuple[Outcome, Outcome],
    found: list[Difference],
    limit: int,
) -> Iterator[str]:
    """Yield the comparison a line at a time: what was compared, each difference, the sum."""
    for side, config in zip(_SIDES, configs, strict=True):
        yield f"{side} is {config}"
    yield from _settings_lines(apart)
    different = [each for each in found if each.verdict != "alike"]
    for each in islice(different, limit):
        yield ""
        yield f"{printable(each.subject.value)}: {in_words(each)}"
        for side, course in zip(_SIDES, (each.a, each.b), strict=True):
            yield f"  {side}  {_course_line(course)}"
    if len(different) > limit:
        yield ""
        yield f"... and {len(different) - limit:,} more differences (--limit, --json)"
    yield ""
    for side, outcome in zip(_SIDES, outcomes, strict=True):
        yield f"{side}: {_sum_line(outcome)}"
    counts = Counter(each.verdict for each in found)
    yield (
        f"Alike: {counts['alike']:,}; differently: {counts['differently']:,}; "
        f"only A: {counts['only-a']:,}; only B: {counts['only-b']:,}"
    )


def _settings_lines(apart: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    if not apart:
        yield "They differ in no setting that could change a decision."
    for name, (a, b) in apart.items():
        yield f"  {name}: {_told(a)} in A, {_told(b)} in B"


def _told(value: Any) -> str:
    return "unset" if value is None else orjson.dumps(value).decode()


def in_words(difference: Difference) -> str:
    """Say how the two differ about one subject."""
    a, b = difference.a, difference.b
    if a is None or b is None:
        return f"only {'A' if b is None else 'B'}"
    said = []
    if a.first.issued_at != b.first.issued_at:
        later_s = seconds_between(a.first.issued_at, b.first.issued_at)
        more = b.first.pairs - a.first.pairs
        said.append(
            f"B {duration(later_s)} {'later' if later_s > 0 else 'earlier'}, "
            f"{count(abs(more), 'pair')} {'more' if more > 0 else 'fewer'}"
        )
    if a.first.action != b.first.action:
        said.append(f"B begins with a {b.first.action} instead of a {a.first.action}")
    if a.first.simulated != b.first.simulated:
        said.append(f"simulated in {'A' if a.first.simulated else 'B'} only")
    if a.gravest != b.gravest:
        said.append(f"B ends in a {b.gravest} instead of a {a.gravest}")
    return "; ".join(said) or "they begin alike and go on differently"


def _course_line(course: Course | None) -> str:
    if course is None:
        return "leaves it alone"
    first = course.first
    limit = "" if first.limit_per_minute is None else f" {first.limit_per_minute:g}/min"
    more = f"; {course.decisions:,} decisions in all, gravest: {course.gravest}"
    return (
        f"{first.issued_at}  {first.action}{limit}  {printable(first.scenario)}  after "
        f"{first.pairs:,} pairs{' (simulated)' if first.simulated else ''}"
        f"{more if course.decisions > 1 else ''}"
    )


def _sum_line(outcome: Outcome) -> str:
    summary = outcome.summary
    decisions = ", ".join(f"{what} {n:,}" for what, n in sorted(summary.decisions.items()))
    lines = count(sum(summary.bad_lines.values()), "bad line")
    bad = f" and {lines}" if summary.bad_lines else ""
    hit = len(outcome.accounts_hit)
    groups = len(outcome.courses) - hit
    asks = f", and asks about {count(groups, 'group')}" if groups else ""
    return (
        f"hits {hit:,} of {count(summary.accounts, 'account')} in "
        f"{count(summary.events, 'request')}{bad}{asks}"
        f"{f': {decisions}' if decisions else ''}"
    )


def _as_dict(
    configs: tuple[str, ...],
    settings: list[Settings],
    apart: dict[str, tuple[Any, Any]],
    outcomes: tuple[Outcome, Outcome],
    found: list[Difference],
) -> dict[str, Any]:
    sides = {
        side.lower(): {
            "config": config,
            "config_hash": each.detection().config_hash(),
            "hit": len(outcome.accounts_hit),
            "groups": len(outcome.courses) - len(outcome.accounts_hit),
            "lines": outcome.summary.lines,
            "requests": outcome.summary.events,
            "accounts": outcome.summary.accounts,
            "bad_lines": outcome.summary.bad_lines,
            "decisions": outcome.summary.decisions,
        }
        for side, config, each, outcome in zip(_SIDES, configs, settings, outcomes, strict=True)
    }
    counts = Counter(each.verdict for each in found)
    return {
        **sides,
        "settings": {name: {"a": a, "b": b} for name, (a, b) in apart.items()},
        "alike": counts["alike"],
        "differences": [
            {
                "scope": each.subject.scope,
                "value": each.subject.value,
                "difference": each.verdict,
                "a": _course_dict(each.a),
                "b": _course_dict(each.b),
            }
            for each in found
            if each.verdict != "alike"
        ],
    }


def _course_dict(course: Course | None) -> dict[str, Any] | None:
    if course is None:
        return None
    first = msgspec.to_builtins(course.first)
    return {"first": first, "decisions": course.decisions, "gravest": course.gravest}
