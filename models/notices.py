"""What a partition is told beside its requests: the words of operators, and of other models.

Times are RFC 3339 on the wire (`models.decision.rfc3339`), and event time: a notice takes effect
between two requests, wherever the log of notices puts it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from models.config import Mode
from models.decision import Reason


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a notice is about.

    Parameters
    ----------
    scope
        `account`, `group` (whoever carries a link), or `range` (of addresses; `allow` only).
    value
        The account's id, `<link type>:<link value>`, or a network as in RFC 4632 (CIDR).
    """

    scope: Literal["account", "group", "range"]
    value: str

    @property
    def key(self) -> str:
        """`scope:value`, as decisions are keyed."""
        return f"{self.scope}:{self.value}"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Proof that a holder of the key said exactly this."""

    key_id: str
    nonce: str
    hmac: str


class _Said(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What every operator's message carries: who says it, why and when; `id` is taken once."""

    id: str
    schema_version: Literal[1] = 1
    by: str
    why: str
    issued_at: str
    signature: Signature | None = None

    @property
    def issued_s(self) -> float:
        """When it was said, Unix seconds."""
        return seconds(self.issued_at)


class Allow(_Said, frozen=True, kw_only=True, tag="allow"):
    """The subject is left alone until the expiry; a later one for the subject replaces it.

    A review of it is over, and what was approved for it.
    """

    subject: Subject
    expires_at: str


class Release(_Said, frozen=True, kw_only=True, tag="release"):
    """What is in force for the subject is lifted; it may be judged anew."""

    subject: Subject


class Approve(_Said, frozen=True, kw_only=True, tag="approve"):
    """Yes to a `review`: the action applies to all of its subject until the expiry."""

    subject: Subject
    decision_id: str
    action: Literal["throttle", "ban"]
    limit_per_minute: float | None = None
    expires_at: str


class Reject(_Said, frozen=True, kw_only=True, tag="reject"):
    """No to a `review`."""

    subject: Subject
    decision_id: str


class Confirm(_Said, frozen=True, kw_only=True, tag="confirm"):
    """A decision was right."""

    subject: Subject
    decision_id: str


class Overturn(_Said, frozen=True, kw_only=True, tag="overturn"):
    """A decision was wrong: it is lifted, and the models learn from it."""

    subject: Subject
    decision_id: str


class SetMode(_Said, frozen=True, kw_only=True, tag="mode"):
    """Whether decisions are meant: of one scenario, or of the whole service."""

    mode: Mode
    scenario: str | None = None


class Calendar(_Said, frozen=True, kw_only=True, tag="calendar"):
    """A planned event: so many times the usual is to be expected between two times."""

    name: str
    starts_at: str
    ends_at: str
    tolerance: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="verdict"):
    """A group's models about one of its members, for the member's own partition.

    Parameters
    ----------
    id
        Follows from what caused it, so that saying it again changes nothing.
    account_id
        The member.
    at_s
        Event time, Unix seconds.
    grave
        Whether it is enough for a ban by itself, and not for a throttle only.
    limit_per_minute
        What a throttle should let through, requests per minute; `None` leaves it to the ladder.
    scenario, score, reasons
        As in a decision.
    group
        The key of the group, `group:<link type>:<link value>`.
    linked_accounts
        The other members that were found, at most 100.
    """

    id: str
    account_id: str
    at_s: float
    grave: bool
    limit_per_minute: float | None
    scenario: str
    score: float
    reasons: tuple[Reason, ...]
    group: str
    linked_accounts: tuple[str, ...]


class Detail(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="detail"):
    """A worker about a partition that it falls behind in, or has caught up with.

    Parameters
    ----------
    id
        Follows from where it was said, so that saying it again changes nothing.
    full_per_minute
        Requests of one account in a minute that are judged in full; 0 is all of them.
    """

    id: str
    full_per_minute: Annotated[int, msgspec.Meta(ge=0)]


#: What an operator can say.
Control = Allow | Release | Approve | Reject | Confirm | Overturn | SetMode | Calendar
Notice = Control | Verdict | Detail


def seconds(time: str) -> float:
    """Return an RFC 3339 time as Unix seconds.

    Raises
    ------
    ValueError
        It is none.
    """
    return datetime.fromisoformat(time).timestamp()
