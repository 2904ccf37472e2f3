"""`pairwatch allow`, `release`, `approve` and the others that write to the control topic."""

from __future__ import annotations

import asyncio
import functools
import getpass
import re
import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import click
import msgspec

from models.decision import Decision, rfc3339
from models.notices import (
    Allow,
    Approve,
    Calendar,
    Confirm,
    Control,
    Overturn,
    Reject,
    Release,
    SetMode,
    seconds,
)
from streams.codec import parse_rfc3339
from streams.commands.options import config_option
from streams.control.about import (
    a_measure,
    a_review,
    covered,
    find_decision,
    subject_of,
    to_subject,
    what_became,
)
from streams.control.heeded import watching
from streams.control.messages import encode
from streams.control.say import say, signed, signing_key
from streams.control.wording import describe
from streams.errors import OperatorError
from streams.settings import load

#: Command → its code; `streams.commands` finds them here.
COMMANDS: dict[str, click.Command] = {}

_DURATION = re.compile(r"([0-9]{1,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_F = TypeVar("_F", bound=Callable[..., Any])


class Speaker:
    """Who speaks and why, and how to reach those who listen."""

    def __init__(self, config: str | None, by: str | None, why: str, as_json: bool) -> None:
        self._settings = load(config)
        self._key = signing_key(self._settings.control)  # before anything is looked up
        self._by = _login() if by is None else by
        self._why = why
        self._as_json = as_json

    def find(self, decision_id: str, fits: Callable[[Decision], Decision]) -> Decision:
        """Return the decision that is spoken about, and say what has become of it."""
        found = asyncio.run(find_decision(self._settings, decision_id))
        decision = fits(found.decision)
        if note := what_became(found):
            self.tell(note)
        return decision

    def tell(self, text: str) -> None:
        """Show a line to a person; a program gets it all at the end."""
        if not self._as_json:
            click.echo(text)

    def say(
        self,
        build: Callable[..., Control],
        about: Decision | None = None,
        *,
        is_last: bool = True,
        **what: Any,
    ) -> None:
        """Write a message (about a decision), and show it once Kafka has it.

        A person is also told whether workers take it up; of several in a row, by the last.
        """
        if about is not None:
            what |= {"subject": subject_of(about), "decision_id": about.decision_id}
        message = signed(
            build(
                id=f"c_{secrets.token_hex(16)}",
                by=self._by,
                why=self._why,
                issued_at=rfc3339(time.time()),
                **what,
            ),
            self._key,
        )
        if self._as_json:
            place = asyncio.run(say(message, self._settings))
            told: dict[str, Any] = {"message": msgspec.Raw(encode(message)), **place._asdict()}
            if about is not None:
                told["decision"] = about
            click.echo(msgspec.json.encode(told))
        else:
            asyncio.run(self._say_and_watch(message, watch=is_last))

    async def _say_and_watch(self, message: Control, *, watch: bool) -> None:
        async with watching(self._settings) if watch else nullcontext() as heeded:
            place = await say(message, self._settings)
            where = f"{place.topic}[{place.partition}] offset {place.offset}"
            click.echo(f"said: {describe(message)} ({where})")
            if heeded is not None:
                click.echo(await heeded(message))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise OperatorError("--by: this login has no name; say who you are") from None


def _options(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    def add(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


_who_says = _options(
    click.option("--by", help="Who says it. [default: the login name]"),
    click.option("--why", required=True, help="For whoever reads the audit later."),
    config_option,
    click.option("--json", "as_json", is_flag=True, help="Print the message as JSON."),
)
_expiry = _options(
    click.option("--until", metavar="TIME", help="RFC 3339, such as 2024-03-09T00:00:00Z."),
    click.option("--for", "for_", metavar="DURATION", help="30m, 12h, 7d."),
)
_decision_id = click.argument("decision_id")


def _command(name: str) -> Callable[[_F], _F]:
    """Make a function a command that takes who speaks, why, and how to answer."""

    def register(function: _F) -> _F:
        @functools.wraps(function)
        def run(config: str | None, by: str | None, why: str, as_json: bool, **rest: Any) -> None:
            function(Speaker(config, by, why, as_json), **rest)

        COMMANDS[name] = click.command(name)(_who_says(run))
        return function

    return register


@_command("allow")
@click.argument("scope", type=click.Choice(["account", "link", "range"]))
@click.argument("value")
@_expiry
def allow(speaker: Speaker, scope: str, value: str, until: str | None, for_: str | None) -> None:
    """Leave an account, all with a link or an address range alone until a time.

    \b
    pairwatch allow account acct_17 --for 7d --why "a print run; ticket 4711"
    pairwatch allow link org:example.com --until 2024-03-09T00:00:00Z --why ...
    pairwatch allow range 203.0.113.0/24 --for 12h --why ...

    It lifts what is in force for them; a review of the link is over, and so is what was approved
    for it. A later word about the same subject replaces this one; an end that has passed takes it
    back.
    """
    speaker.say(Allow, subject=to_subject(scope, value), expires_at=_end(until, for_))


@_command("release")
@click.argument("scope", type=click.Choice(["account", "link"]))
@click.argument("values", metavar="VALUE...", nargs=-1, required=True)
def release(speaker: Speaker, scope: str, values: tuple[str, ...]) -> None:
    """Lift what is in force for an account, or for all with a link.

    \b
    pairwatch release account acct_17 acct_18 --why "gateway logged wrong pairs; incident 4711"
    pairwatch release link org:example.com --why ...

    It may be judged anew; `overturn` says that the decision was wrong, `allow` keeps it away.
    """
    for n, value in enumerate(values, 1):
        speaker.say(Release, subject=to_subject(scope, value), is_last=n == len(values))


@_command("approve")
@_decision_id
@click.option("--action", type=click.Choice(["throttle", "ban"]), required=True)
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="For a throttle: requests let through in each minute, for each account.",
)
@_expiry
def approve(
    speaker: Speaker,
    decision_id: str,
    action: str,
    limit: float | None,
    until: str | None,
    for_: str | None,
) -> None:
    """Say yes to a review: the action applies to all of its subject until a time.

    \b
    pairwatch decisions --action review
    pairwatch approve DECISION_ID --action throttle --limit 2 --for 12h --why ...

    It covers whoever carries the link, those too who come later; of a manner, those who were named
    for it. `pairwatch release link` takes it back and lifts what it brought.
    """
    if (limit is None) == (action == "throttle"):
        raise OperatorError("--limit: a throttle needs one, a ban has none")
    end = _end(until, for_)
    if seconds(end) <= time.time():
        raise OperatorError(f"--until: {end} has passed")
    review = speaker.find(decision_id, a_review)
    speaker.tell(f"covers {covered(review)}")
    if review.simulated:
        speaker.tell(
            f"note: {review.scenario} was in shadow when this was asked; while it is, what follows "
            f"is simulated, too: `pairwatch mode enforce --scenario {review.scenario}` means it"
        )
    speaker.say(
        Approve,
        review,
        action=action,
        limit_per_minute=limit,
        expires_at=end,
    )


@_command("reject")
@_decision_id
def reject(speaker: Speaker, decision_id: str) -> None:
    """Say no to a review.

    \b
    pairwatch reject DECISION_ID --why "a class on an excursion"

    The link is not put to anybody again for a month, unless three times as many accounts are found.
    """
    speaker.say(Reject, speaker.find(decision_id, a_review))


@_command("confirm")
@_decision_id
def confirm(speaker: Speaker, decision_id: str) -> None:
    """Say that a decision was right; the models learn from it.

    For a month nothing is learned from the account, and its next decision is longer. The more
    decisions are confirmed, the more of the budget of false alarms is spent: half of it where
    nobody says anything, never more than all of it.
    """
    speaker.say(Confirm, speaker.find(decision_id, a_measure))


@_command("overturn")
@_decision_id
def overturn(speaker: Speaker, decision_id: str) -> None:
    """Say that a decision was wrong: it is lifted, and the models learn from it.

    What the account did is learned as something that honest accounts do, it begins afresh, and it
    may do twice as much from now on. Where more are wrong than the budget of false alarms allows,
    less of it is spent on everybody: down to a twentieth.
    """
    speaker.say(Overturn, speaker.find(decision_id, a_measure))


@_command("mode")
@click.argument("mode", type=click.Choice(["shadow", "enforce"]))
@click.option("--scenario", metavar="NAME", help="Only this one. [default: the whole service]")
def mode(speaker: Speaker, mode: str, scenario: str | None) -> None:
    """Mean the decisions (enforce), or only show what they would be (shadow).

    \b
    pairwatch mode enforce --scenario catalogue-sweep --why "copying; incident 4711"
    pairwatch mode shadow --why "support is flooded"

    `shadow` lifts what is enforced. After `enforce` whoever was only simulated and goes on gets a
    decision that is meant. Said of the whole service, it also closes the blast-radius breaker.
    """
    speaker.say(SetMode, mode=mode, scenario=scenario)


@_command("calendar")
@click.argument("name")
@click.option("--from", "begin", metavar="TIME", required=True, help="RFC 3339.")
@click.option("--to", "end", metavar="TIME", required=True, help="RFC 3339, after --from.")
@click.option(
    "--tolerance",
    type=float,
    required=True,
    metavar="X",
    help="So many times the usual is to be expected, 1 to 100.",
)
def calendar(speaker: Speaker, name: str, begin: str, end: str, tolerance: float) -> None:
    """Announce an event during which more than usual is to be expected.

    \b
    pairwatch calendar fair --from 2024-03-09T00:00:00Z --to 2024-03-11T00:00:00Z \\
      --tolerance 2 --why "visitors of the fair"

    Everybody may do TOLERANCE times as much meanwhile, and decisions say so in their reasons.
    Another of the same NAME replaces it; an end that has passed calls it off.
    """
    starts_at, ends_at = _time("--from", begin), _time("--to", end)
    if seconds(ends_at) <= seconds(starts_at):
        raise OperatorError("--to: not after --from")
    speaker.say(Calendar, name=name, starts_at=starts_at, ends_at=ends_at, tolerance=tolerance)


def _end(until: str | None, for_: str | None) -> str:
    """Return when something ends, RFC 3339 in UTC."""
    if (until is None) == (for_ is None):
        raise OperatorError("say until when, with either --until or --for")
    if until is not None:
        return _time("--until", until)
    duration = _DURATION.fullmatch(for_ or "")
    if not duration:
        raise OperatorError(f"--for: {for_!r} is not like 30m, 12h or 7d")
    return rfc3339(time.time() + int(duration[1]) * _SECONDS[duration[2]])


def _time(option: str, text: str) -> str:
    try:
        return rfc3339(parse_rfc3339(text))
    except (ValueError, OverflowError):  # such as the year 0 in UTC
        raise OperatorError(f"{option}: {text!r} is not a time like 2024-03-02T20:00:00Z") from None
