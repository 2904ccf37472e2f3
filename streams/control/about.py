"""What an operator speaks about: subjects, and decisions that what is said must fit."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from models.decision import Decision
from models.notices import Subject
from streams.consume import open_log
from streams.control.messages import network
from streams.control.wording import subject
from streams.errors import OperatorError
from streams.render import printable
from streams.settings import Settings
from streams.wording import safe

#: Of the accounts that an approval covers, as many as a person reads.
_ACCOUNTS_SHOWN = 20

_decode = msgspec.json.Decoder(Decision).decode


class Found(NamedTuple):
    """A decision, and the latest one about its subject, which may be the same."""

    decision: Decision
    latest: Decision


async def find_decision(told: Settings, decision_id: str) -> Found:
    """Return a decision out of the log of decisions, and what became of it.

    Raises
    ------
    OperatorError
        The log has none of that id, or can't be read.
    """
    topic = told.topics.decisions
    # The log is long: only what holds the id is decoded.
    written = decision_id.encode(errors="replace")
    found: Found | None = None
    async with open_log(told.kafka, topic) as log:
        async for record in log.backlog():
            if record.value is None:
                continue
            if written not in record.value and (
                found is None or record.key != found.decision.key.encode()
            ):
                continue
            try:
                decision = _decode(record.value)
            except msgspec.DecodeError:
                continue  # `pairwatch decisions` tells of what is no decision
            if found is None and decision.decision_id == decision_id:
                found = Found(decision, decision)
            elif found and decision.key == found.decision.key:
                # A worker that was killed may have written earlier ones again.
                found = Found(found.decision, max(found.latest, decision, key=_revision))
    if found is not None:
        return found
    raise OperatorError(
        f"there is no decision {printable(decision_id)} in {topic}; "
        "`pairwatch decisions` lists those that there are"
    )


def _revision(decision: Decision) -> int:
    return decision.revision


def what_became(found: Found) -> str:
    """Say what has taken a decision's place; empty where nothing has."""
    decision, latest = found
    if latest.revision <= decision.revision:
        return ""
    if latest.action == "release":
        return "note: it is over already"
    return (
        f"note: {latest.action} {printable(latest.decision_id)} has taken its place and stays "
        "as it is; answer that one to change it"
    )


def to_subject(scope: str, value: str) -> Subject:
    """Return whom `account ID`, `link TYPE:VALUE` or `range CIDR` names on the command line.

    Raises
    ------
    OperatorError
        A range that is none, or too wide.
    """
    if scope == "range":
        try:
            return Subject("range", network(value))
        except ValueError as error:
            raise OperatorError(safe(str(error))) from None
    return Subject("group" if scope == "link" else "account", value)


def subject_of(decision: Decision) -> Subject:
    """Return whom a decision is about."""
    return Subject(decision.scope, decision.value)


def a_review(decision: Decision) -> Decision:
    """Return the decision if it is one that can be approved or rejected.

    Raises
    ------
    OperatorError
        It is none.
    """
    if decision.action != "review":
        raise OperatorError(
            f"{_named(decision)}, not a review; `pairwatch confirm` and `pairwatch overturn` are "
            "said of it"
        )
    return decision


def a_measure(decision: Decision) -> Decision:
    """Return the decision if it is one that can be right or wrong, simulated or not.

    Raises
    ------
    OperatorError
        It is none.
    """
    if decision.action == "review":
        raise OperatorError(
            f"{_named(decision)}; `pairwatch approve` and `pairwatch reject` answer it"
        )
    if decision.action == "release":
        raise OperatorError(f"{_named(decision)}, neither right nor wrong; name what it lifted")
    return decision


def covered(review: Decision) -> str:
    """Say whom an approval hits: all of its subject, not only those that have been found."""
    if review.scope == "account":
        return subject(subject_of(review))
    found = review.evidence.linked_accounts
    names = ", ".join(printable(name) for name in found[:_ACCOUNTS_SHOWN])
    more = f" and {len(found) - _ACCOUNTS_SHOWN} more" if len(found) > _ACCOUNTS_SHOWN else ""
    listed = f": {names}{more}" if found else ""
    return (
        f"every account with {subject(subject_of(review))}, now and until then; "
        f"the review found {len(found)}{listed}"
    )


def _named(decision: Decision) -> str:
    whom = subject(subject_of(decision))
    return f"{printable(decision.decision_id)} is a {decision.action} of {whom}"
