"""A case as a story: what was seen, what is usual, what was asked for and why, and what followed.

Only what decisions and control messages say is told; nothing is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models.decision import Decision, Reason, rfc3339
from models.scenarios import SCENARIOS
from models.verdict import BAN_LEVEL_OF, LEVEL_OF
from streams.case import Case
from streams.otherwise import otherwise
from streams.render import moment
from streams.timeline import NOUNS, Event, timeline
from streams.wording import count, duration, figure, seconds_between, time_of

#: What each scenario's signals are called in reasons.
_SIGNALS = {scenario.name: {signal.name for signal in scenario.signals} for scenario in SCENARIOS}


class Usual(NamedTuple):
    """One reason, as a row: what was observed beside what is usual."""

    signal: str
    observed: str
    expected: str
    unit: str
    #: How many times the usual; empty where nothing is usual.
    times: str
    weight: float


class Story(NamedTuple):
    """A case in words and figures; every list holds whole sentences."""

    standing: str
    seen: list[str]
    usual: list[Usual]
    rung: list[str]
    otherwise: list[str]
    events: list[Event]
    #: What `events` can't tell of what people said; empty where all of it is known.
    silence: str


def tell(case: Case, now_s: float) -> Story:
    """Tell the story of a case at a time (Unix seconds)."""
    return Story(
        standing=_standing(case, now_s),
        seen=list(_seen(case.asked)),
        usual=[
            _usual(reason)
            for reason in case.asked.reasons
            if not reason.signal.startswith((LEVEL_OF, BAN_LEVEL_OF))
        ],
        rung=list(_rung(case)),
        otherwise=list(
            otherwise(case.asked, _held_before(case), is_measured=_is_measured(case.asked))
        ),
        events=timeline(case),
        silence=_silence(case),
    )


def _before(case: Case) -> Decision | None:
    """Return the decision before the one asked about."""
    older = [each for each in case.decisions if each.revision < case.asked.revision]
    return older[-1] if older else None


def _held(decision: Decision, at: str) -> bool:
    """Return whether a decision was in force at a time."""
    if decision.action not in ("throttle", "ban"):
        return False
    return decision.expires_at is None or moment(decision.expires_at) > moment(at)


def _held_before(case: Case) -> Decision | None:
    """Return the decision that was in force when the one asked about took its place."""
    before = _before(case)
    return before if before is not None and _held(before, case.asked.issued_at) else None


def _after(case: Case) -> Decision | None:
    return next((each for each in case.decisions if each.revision > case.asked.revision), None)


def _standing(case: Case, now_s: float) -> str:
    asked, after = case.asked, _after(case)
    if asked.action == "release":
        return f"Released on {time_of(asked.issued_at)}."
    if asked.action == "review":
        state = "waits for a person" if after is None else "was followed by " + NOUNS[after.action]
        return f"A review that {state}."
    verb = "Would have been " if asked.simulated else ""
    done = f"{verb}{'throttled' if asked.action == 'throttle' else 'banned'}"
    done = done[0].upper() + done[1:]
    until = "" if asked.expires_at is None else f" until {time_of(asked.expires_at)}"
    shadow = " Simulated: nobody acts on it." if asked.simulated else ""
    if after is not None and _held(asked, after.issued_at):
        ended = (
            f"lifted on {time_of(after.issued_at)}"
            if after.action == "release"
            else (
                f"replaced by revision {after.revision}, {NOUNS[after.action]}, "
                f"on {time_of(after.issued_at)}"
            )
        )
        return f"{done}{until}; {ended}.{shadow}"
    if not _held(asked, rfc3339(now_s)):
        return f"{done}{until}; it has run out.{shadow}"
    return f"{done}{until}; {'not run out yet' if asked.simulated else 'in force'}.{shadow}"


def _seen(asked: Decision) -> Iterator[str]:
    evidence = asked.evidence
    who = "the account" if asked.scope == "account" else "the group"
    yield (
        f"From {time_of(evidence.window_start)} to {time_of(evidence.window_end)} {who} made "
        f"{count(evidence.requests, 'request')} and was given "
        f"{count(evidence.distinct_pairs, 'distinct pair')} of other people, "
        f"{figure(100 * evidence.catalogue_share)} % of the catalogue."
    )
    source = evidence.source
    yield (
        f"What tipped it stands in {source.topic}, partition {source.partition}, "
        f"at {source.offset:,}."
    )
    if evidence.sample_request_ids:
        yield f"Requests to look at: {', '.join(evidence.sample_request_ids)}."
    if evidence.linked_accounts:
        yield (
            f"Linked with {count(len(evidence.linked_accounts), 'account')}: "
            f"{', '.join(evidence.linked_accounts)}."
        )


def _usual(reason: Reason) -> Usual:
    # What has no weight only goes with the rest: a planned event, say.
    compared = reason.expected > 0 and reason.weight > 0
    times = f"{figure(reason.observed / reason.expected)} ×" if compared else ""
    return Usual(
        signal=reason.signal,
        observed=figure(reason.observed),
        expected=figure(reason.expected),
        unit=reason.unit,
        times=times,
        weight=reason.weight,
    )


def _rung(case: Case) -> Iterator[str]:
    asked = case.asked
    yield f"Scenario {asked.scenario}, score {asked.score:.6g} of 1.{_rarity(asked)}"
    if any(reason.unit == "decibans" for reason in asked.reasons):
        yield (
            "Evidence is in decibans: 10 of them make it ten times as likely that they divide the "
            "work, 20 a hundred times, 40 ten thousand times."
        )
    yield _asks(asked)
    before = _before(case)
    if before is None and asked.revision == 1:
        yield "It is the first decision about it."
    elif before is None:
        yield f"It is revision {asked.revision}; the decisions before it are no longer kept."
    else:
        yield _compared(before, asked)
    if not _is_measured(asked):
        return
    if asked.action == "throttle":
        yield (
            "A throttle is asked for once one signal passes the level that the budget of false "
            "throttles allows; a ban needs a rarer level and more than one kind of evidence."
        )
    elif asked.action == "ban":
        yield (
            "A ban needs a level that the budget of false bans allows, more than one kind of "
            "evidence, and enough known of the other accounts."
        )


def _is_measured(asked: Decision) -> bool:
    """Return whether an account's own signals speak, and not a person or the ladder alone."""
    known = asked.scope == "account" and bool(_SIGNALS.get(asked.scenario))
    return known and any(reason.weight > 0 for reason in asked.reasons)


def _rarity(asked: Decision) -> str:
    if not _is_measured(asked):
        return ""
    share = 1 - asked.score
    often = f"{100 * share:.2g} %" if share > 1e-9 else "fewer than one in a billion"
    return f" Of the days of honest accounts an estimated {often} get as far."


def _asks(asked: Decision) -> str:
    lasts = (
        ""
        if asked.expires_at is None
        else f" for {duration(seconds_between(asked.issued_at, asked.expires_at))}"
    )
    limit = asked.limit_per_minute
    if asked.action == "throttle" and limit:
        apart = f"{figure(60 / limit)} s" if limit > 1 else duration(60 / limit)
        return (
            f"It asks for a throttle to {figure(limit)} requests a minute, one every {apart},"
            f"{lasts}."
        )
    if asked.action == "review":
        return "It asks a person; until one approves, nothing is enforced."
    if asked.action == "release":
        return "It lifts what was in force."
    return f"It asks for {NOUNS[asked.action]}{lasts}."


def _compared(before: Decision, asked: Decision) -> str:
    since = duration(seconds_between(before.issued_at, asked.issued_at))
    if before.action == "release":
        how = "a new decision after the release"
    elif before.action == "review":
        how = "it follows a review"
    elif not _held(before, asked.issued_at):
        how = f"a repetition after {NOUNS[before.action]} that had run out"
    elif before.action == asked.action:
        how = f"it extends {NOUNS[before.action]} that was in force"
    else:
        how = f"it takes the place of {NOUNS[before.action]} that was in force"
    return f"It is revision {asked.revision}, {since} after the one before: {how}."


def _silence(case: Case) -> str:
    if case.said is None:
        return "What people said about it is not known here: no control messages were given."
    if not case.said:
        return "Nothing has been said about it."
    return case.doubt
