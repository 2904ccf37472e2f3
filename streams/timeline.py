"""What happened to a subject and what was said of it, in the order in which it did."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from models.decision import Decision
from models.notices import Allow, Approve, Control
from streams.case import Case
from streams.render import moment
from streams.wording import duration, figure, seconds_between, time_of

#: What each action asks for.
NOUNS = {
    "throttle": "a throttle",
    "ban": "a ban",
    "review": "a review by a person",
    "release": "a release",
}
#: What the verbs of control messages did, in the past tense.
_SAID = {
    "allow": "allowed",
    "release": "released",
    "approve": "approved",
    "reject": "rejected",
    "confirm": "confirmed as right",
    "overturn": "overturned as wrong",
}


class Event(NamedTuple):
    """Something that happened to the subject, or was said of it."""

    at: str
    kind: Literal["decision", "said"]
    #: `throttle`, `ban`, …, or the kind of a control message.
    what: str
    words: str
    #: The id of the decision that is meant.
    decision_id: str | None


def timeline(case: Case) -> list[Event]:
    """Return the decisions of a case and the words about them, oldest first."""
    events = [
        Event(each.issued_at, "decision", each.action, _decided(each), each.decision_id)
        for each in case.decisions
    ]
    events += [
        Event(each.issued_at, "said", _kind(each), _told(each), getattr(each, "decision_id", None))
        for each in case.said or ()
    ]
    return sorted(events, key=lambda event: moment(event.at))


def _decided(decision: Decision) -> str:
    limit = decision.limit_per_minute
    words = decision.action + (f" to {figure(limit)} requests a minute" if limit else "")
    if decision.expires_at is not None:
        words += f" for {duration(seconds_between(decision.issued_at, decision.expires_at))}"
    mark = ", simulated" if decision.simulated else ""
    # Who lifted it and why stands beside it; that it was for an allowance, say, does not.
    is_told = decision.action == "release" and decision.reasons
    why = f": {decision.reasons[0].signal}" if is_told else ""
    return f"{words} ({decision.scenario}, revision {decision.revision}{mark}){why}"


def _kind(message: Control) -> str:
    kind: str = msgspec.to_builtins(message)["kind"]
    return kind


def _told(message: Control) -> str:
    words = _SAID[_kind(message)]
    if isinstance(message, Approve):
        limit = message.limit_per_minute
        words += f" as {NOUNS[message.action]}"
        words += f" to {figure(limit)} requests a minute" if limit else ""
    if isinstance(message, Allow | Approve):
        words += f" until {time_of(message.expires_at)}"
    return f"{words} by {message.by}: {message.why}"
