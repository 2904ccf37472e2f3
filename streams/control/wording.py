"""Control messages in one line each, for people."""

from __future__ import annotations

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
    Subject,
    seconds,
)
from streams.render import printable
from streams.wording import time_of

#: Whoever looks a link's value up needs all of it.
_VALUE_CHARS_MAX = 512


def describe(message: Control) -> str:
    """Return what a message says, without who and why; safe on a terminal."""
    match message:
        case Allow():
            if seconds(message.expires_at) <= message.issued_s:
                return f"allow {subject(message.subject)} no longer"
            return f"allow {subject(message.subject)} until {time_of(message.expires_at)}"
        case Release():
            return f"release {subject(message.subject)}"
        case Approve():
            limit = message.limit_per_minute
            action = message.action if limit is None else f"throttle to {limit:g}/min"
            return f"approve {_decision(message)}: {action} until {time_of(message.expires_at)}"
        case Reject() | Confirm() | Overturn():
            return f"{type(message).__name__.lower()} {_decision(message)}"
        case SetMode():
            return f"mode {message.mode} for {message.scenario or 'the whole service'}"
        case Calendar():
            return (
                f"expect {message.tolerance:g} times the usual for {printable(message.name)} "
                f"from {time_of(message.starts_at)} to {time_of(message.ends_at)}"
            )


def subject(of: Subject) -> str:
    """Return a subject in the words of the command line."""
    scope = "link" if of.scope == "group" else of.scope
    return f"{scope} {printable(of.value, _VALUE_CHARS_MAX)}"


def _decision(message: Approve | Reject | Confirm | Overturn) -> str:
    return f"{printable(message.decision_id)} about {subject(message.subject)}"
