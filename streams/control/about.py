"""What an operator speaks about: subjects, and decisions that what is said must fit."""

from __future__ import annotations

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


async def find_decision(told: Settings, decision_id: str) -> Decision:
    """Return a decision out of the log of decisions.

    Raises
    ------
    OperatorError
        The log has none of that id, or can't be read.
    """
    topic = told.topics.decisions
    # The log is long: only what holds the id is decoded.
    written = decision_id.encode(errors="replace")
    async with open_log(told.kafka, topic) as log:
        async for record in log.backlog():
            if record.value is None or written not in record.value:
                continue
            try:
                decision = _decode(record.value)
            except msgspec.DecodeError:
                continue  # `pairwatch decisions` tells of what is no decision
            if decision.decision_id == decision_id:
                return decision
    raise OperatorError(
        f"there is no decision {printable(decision_id)} in {topic}; "
        "`pairwatch decisions` lists those that there are"
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
