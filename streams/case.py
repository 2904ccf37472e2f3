"""One subject's case: every decision about it, and what people have said about them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from models.decision import Decision, Scope
from models.notices import Calendar, Control, SetMode, seconds
from streams.case_sources import Controls, Sources
from streams.errors import OperatorError
from streams.render import moment

#: A subject that climbs and comes down again has a few dozen decisions in the months that they
#: are kept; the newest of more than this are told. Each is 1–10 KB.
DECISIONS_MAX = 1_000
#: The same of what people say of one subject.
SAID_MAX = 1_000

_Any = TypeVar("_Any")


class Case(msgspec.Struct, frozen=True):
    """Everything that is known about one subject.

    Parameters
    ----------
    scope, value
        Whom it is about.
    asked
        The decision that is asked about.
    decisions
        All of them, in order, at most the newest `DECISIONS_MAX`.
    said
        What people said about the subject or one of the decisions, in order; `None` where that
        is not known.
    doubt
        Why that may not be their word; empty where signatures are checked.
    """

    scope: Scope
    value: str
    asked: Decision
    decisions: tuple[Decision, ...]
    said: tuple[Control, ...] | None
    doubt: str


class _About(msgspec.Struct):
    """As much of a decision as it takes to see whether it matters."""

    decision_id: str
    scope: Scope
    value: str


_ABOUT = msgspec.json.Decoder(_About)
_DECISION = msgspec.json.Decoder(Decision)


def read(sources: Sources, name: str) -> Case:
    """Read the case of an account, of a group (`<link type>:<link value>`) or of a decision.

    Of a subject the latest decision is asked about that was no release. What is no decision, and
    what is no control message, is passed over: other commands and the dead letters tell of them.

    Parameters
    ----------
    sources
        Where from.
    name
        An account's id before all, else a group, else a decision's id.

    Raises
    ------
    OperatorError
        There is no decision of that name, or a source can't be read.
    """
    of_name: dict[Scope, _Decisions] = {"account": _Decisions(), "group": _Decisions()}
    of_id: list[Decision] = []

    def look(data: bytes) -> None:
        about = _decode(data, _ABOUT)
        if about is not None and name in (about.value, about.decision_id):
            decision = _decode(data, _DECISION)
            if decision is not None and about.value == name:
                of_name[about.scope].add(decision)
            elif decision is not None and not of_id:
                of_id.append(decision)

    sources.decisions(look)
    decisions = of_name["account"].in_order() or of_name["group"].in_order()
    if decisions:
        asked = next((each for each in reversed(decisions) if each.action != "release"), None)
        asked = asked or decisions[-1]
    elif of_id:
        asked = of_id[0]
        decisions = _decisions_about(sources, asked)
    else:
        raise OperatorError(
            f"{sources.name} has no decision about {name!r}, and none with that id; {sources.hint}"
        )
    said = None if sources.control is None else _said_about(sources.control, asked, decisions)
    return Case(asked.scope, asked.value, asked, tuple(decisions), said, sources.doubt)


class _Decisions:
    """Keeps the newest decisions, each once."""

    def __init__(self) -> None:
        self._by_id: dict[str, Decision] = {}

    def add(self, decision: Decision) -> None:
        self._by_id.setdefault(decision.decision_id, decision)
        if len(self._by_id) > DECISIONS_MAX:
            del self._by_id[next(iter(self._by_id))]

    def in_order(self) -> list[Decision]:
        return sorted(self._by_id.values(), key=lambda each: (each.revision, each.issued_at))


def _decisions_about(sources: Sources, asked: Decision) -> list[Decision]:
    found = _Decisions()

    def look(data: bytes) -> None:
        about = _decode(data, _ABOUT)
        if about is not None and (about.scope, about.value) == (asked.scope, asked.value):
            decision = _decode(data, _DECISION)
            if decision is not None:
                found.add(decision)

    sources.decisions(look)
    decisions = found.in_order()
    # It may be older than the newest that are kept.
    return decisions if asked in decisions else [asked, *decisions]


def _said_about(
    control: Controls, asked: Decision, decisions: list[Decision]
) -> tuple[Control, ...]:
    ids = {decision.decision_id for decision in decisions}
    said: dict[str, Control] = {}

    def look(message: Control) -> None:
        if isinstance(message, SetMode | Calendar):
            return
        if getattr(message, "decision_id", None) in ids or message.subject.key == asked.key:
            said.setdefault(message.id, message)
            if len(said) > SAID_MAX:
                del said[next(iter(said))]

    control(look)
    return tuple(sorted(said.values(), key=lambda message: seconds(message.issued_at)))


def _decode(data: bytes, decoder: msgspec.json.Decoder[_Any]) -> _Any | None:
    """Read a decision; `None` where it is none, or says a time that is none."""
    try:
        found = decoder.decode(data)
        for name in ("issued_at", "expires_at"):
            if (time := getattr(found, name, None)) is not None:
                moment(time)
    except (ValueError, msgspec.ValidationError):
        return None
    return found
