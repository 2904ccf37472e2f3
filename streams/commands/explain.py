"""`pairwatch explain`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import orjson

from streams import settings as settings_reader
from streams.case import Case, read
from streams.case_sources import Sources, from_files, from_kafka
from streams.commands.options import config_option, control_file_option, decisions_file_option
from streams.control.messages import encode
from streams.errors import OperatorError
from streams.story import Story, tell
from streams.wording import safe, time_of


@click.command()
@click.argument("name", metavar="ACCOUNT|DECISION")
@config_option
@decisions_file_option
@control_file_option
@click.option("--json", "as_json", is_flag=True, help="Print the case as JSON.")
def command(
    name: str, config: str | None, decisions: str | None, control: str | None, as_json: bool
) -> None:
    """Tell why: what was seen, what is usual, what was asked for, and what followed.

    ACCOUNT is an account's id, or a group as org:example.com: its latest decision is explained.
    DECISION is a decision's id.
    """
    case = read(sources(config, decisions, control), name)
    story = tell(case, time.time())
    if as_json:
        click.echo(orjson.dumps(_as_dict(case, story)))
        return
    for line in describe(case, story):
        click.echo(line)


def sources(config: str | None, decisions: str | None, control: str | None) -> Sources:
    """Return where the options say that a case is to be read from.

    Raises
    ------
    OperatorError
        The options contradict each other, or the settings can't be read.
    """
    if decisions is not None:
        return from_files(decisions, control)
    if control is not None:
        raise OperatorError("--control goes with --decisions; both come from Kafka without it")
    return from_kafka(settings_reader.load(config))


def describe(case: Case, story: Story) -> Iterator[str]:
    """Yield the story a line at a time, for a terminal."""
    asked = case.asked
    yield safe(f"{case.scope} {case.value}, decision {asked.decision_id}")
    yield safe(f"{time_of(asked.issued_at)}: {story.standing}")
    yield from _section("What was seen", story.seen)
    yield from _section("What is usual", _rows(story))
    yield from _section("What it asks for, and why", story.rung)
    yield from _section("What would have kept it from happening", story.otherwise)
    happened = [
        f"{'> ' if event.decision_id == asked.decision_id and event.kind == 'decision' else '  '}"
        f"{time_of(event.at)}  {event.words}"
        for event in story.events
    ]
    if story.silence:
        happened.append(f"  {story.silence}")
    yield from _section("What happened and what was said", happened)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        for line in lines:
            yield f"  {safe(line)}"


def _rows(story: Story) -> list[str]:
    rows = []
    for usual in story.usual:
        times = f", {usual.times.replace('×', 'times')} as much" if usual.times else ""
        rows.append(
            f"{usual.signal}: {usual.observed}, usual is {usual.expected} ({usual.unit}){times}; "
            f"{usual.weight:.0%} of the weight"
        )
    return rows


def _as_dict(case: Case, story: Story) -> dict[str, Any]:
    return {
        "scope": case.scope,
        "value": case.value,
        "decision": msgspec.to_builtins(case.asked),
        "story": {
            "standing": story.standing,
            "seen": story.seen,
            "rung": story.rung,
            "otherwise": story.otherwise,
        },
        "decisions": msgspec.to_builtins(case.decisions),
        "said": None
        if case.said is None
        else [orjson.Fragment(encode(each)) for each in case.said],
        "doubt": case.doubt,
    }
