"""What operators have said that still holds: allow-lists, approvals, modes, planned events."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

import msgspec

from models.config import DetectionConfig
from models.hashing import hash32
from models.notices import (
    Allow,
    Approve,
    Calendar,
    Detail,
    Notice,
    SetMode,
    Subject,
    Verdict,
    seconds,
)
from models.signals import DAY_S

#: What one partition keeps in mind: a megabyte at the very most. Beyond it, what ends first goes.
ALLOWED_MAX = 10_000
APPROVED_MAX = 1_000
CALENDARS_MAX = 100
#: What has ended still holds for requests from before its end, which a worker that is behind
#: judges after it has heard of what was said since: Kafka keeps them for so long by default.
_LATE_S = 7 * DAY_S
#: Messages by whose id a repeat is known; they come twice when a worker is killed on the way.
_HEARD_MAX = 1_000
#: No planned event: no name, and what is usual.
NO_EVENT = ("", 1.0)
#: The mode of the whole service, beside those of scenarios.
_SERVICE = ""

_Item = TypeVar("_Item", "Approval", "Event", float)


class Approval(msgspec.Struct, frozen=True, array_like=True):
    """What a person approved for everybody who carries a link, until when (Unix seconds)."""

    notice_id: str
    action: Literal["throttle", "ban"]
    limit_per_minute: float | None
    expires_s: float


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A planned event between two times (Unix seconds), and how many times the usual to expect."""

    starts_s: float
    ends_s: float
    tolerance: float


class _Wire(msgspec.Struct, array_like=True):
    allowed: dict[str, float]
    approved: dict[str, Approval]
    modes: dict[str, Literal["shadow", "enforce"]]
    events: dict[str, Event]
    heard: list[str]
    verdicts: list[str] = []
    full_per_minute: int = 0


class Steering:
    """The operators' standing orders, as one partition knows them.

    Parameters
    ----------
    config
        What holds where nothing was said.
    """

    def __init__(self, config: DetectionConfig) -> None:
        self._config = config
        self._allowed: dict[str, float] = {}
        self._ranges: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, float]] = []
        #: `<link type>:<link value>` → what was approved for those who carry it.
        self.approved: dict[str, Approval] = {}
        self._modes: dict[str, Literal["shadow", "enforce"]] = {}
        self._events: dict[str, Event] = {}
        #: Requests of one account in a minute that are judged in full; 0 is all of them.
        self.full_per_minute = 0
        #: Ids in the order in which they came. A flood of what models and workers say must not
        #: push out what people said.
        self._heard: dict[str, None] = {}
        self._verdicts: dict[str, None] = {}

    def hear(self, notice: Notice) -> bool:
        """Take note of a message, or of what others than people say; return whether it is new."""
        heard = self._verdicts if isinstance(notice, Verdict | Detail) else self._heard
        if notice.id in heard:
            return False
        heard[notice.id] = None
        if len(heard) > _HEARD_MAX:
            del heard[next(iter(heard))]
        return True

    def has_heard(self, notice_id: str) -> bool:
        """Whether a message would be a repeat."""
        return notice_id in self._heard

    def allow(self, notice: Allow) -> None:
        """Leave a subject alone until the expiry; one that has passed takes that back.

        What was approved for it is over: nobody is banned anew because an allowance has run out.
        """
        key, expires_s, now_s = notice.subject.key, seconds(notice.expires_at), notice.issued_s
        _renew(self._allowed, key, expires_s, now_s, ALLOWED_MAX, lambda expires_s: expires_s)
        self._find_ranges()
        for link in [link for link in self.approved if self.allows_link(link, now_s)]:
            del self.approved[link]

    def _find_ranges(self) -> None:
        self._ranges = [
            (ipaddress.ip_network(key.removeprefix("range:"), strict=False), expires_s)
            for key, expires_s in self._allowed.items()
            if key.startswith("range:")
        ]

    @property
    def allows_some(self) -> bool:
        """Whether there is anybody who might be left alone."""
        return bool(self._allowed)

    def is_allowed(
        self, account_id: str, links: Iterable[str], address: str | None, now_s: float
    ) -> bool:
        """Whether an account is to be left alone.

        Parameters
        ----------
        account_id
            The account.
        links
            Its links, as `<link type>:<link value>`.
        address
            The client's address; one that is none is in no range.
        now_s
            Event time, Unix seconds.
        """
        if not self._allowed:
            return False
        keys = (f"account:{account_id}", *(f"group:{link}" for link in links))
        if any(self._allowed.get(key, 0.0) > now_s for key in keys):
            return True
        if not self._ranges or not address:
            return False
        try:
            at = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(at in network for network, expires_s in self._ranges if expires_s > now_s)

    def allows_link(self, link: str, now_s: float) -> bool:
        """Whether all who carry a link are to be left alone, also as a network's addresses."""
        if self._allowed.get(f"group:{link}", 0.0) > now_s:
            return True
        kind, _, value = link.partition(":")
        if kind != "range" or not self._ranges:
            return False
        try:
            network = ipaddress.ip_network(value)
        except ValueError:
            return False
        return any(
            network.prefixlen >= allowed.prefixlen and network.network_address in allowed
            for allowed, expires_s in self._ranges
            if expires_s > now_s
        )

    def approve(self, notice: Approve) -> None:
        """Cover everybody who carries a link with an action."""
        key, expires_s, now_s = notice.subject.value, seconds(notice.expires_at), notice.issued_s
        approval = Approval(notice.id, notice.action, notice.limit_per_minute, expires_s)
        _renew(self.approved, key, approval, now_s, APPROVED_MAX, lambda one: one.expires_s)

    def withdraw(self, subject: Subject) -> None:
        """Cover those who carry a link no longer."""
        self.approved.pop(subject.value, None)

    def approval(
        self, links: Iterable[str], now_s: float, *, named: int = 0
    ) -> tuple[str, Approval] | None:
        """Return the approved group that an account is part of, a ban first.

        Parameters
        ----------
        links
            What it carries, as `<link type>:<link value>`.
        now_s
            Event time, Unix seconds.
        named
            Hash of the link that it was named behind; 0 is none.
        """
        found = None
        behind = [link for link in self.approved if hash32(link) == named] if named else ()
        for link in (*links, *behind):
            approval = self.approved.get(link)
            if (
                approval is not None
                and approval.expires_s > now_s
                and (found is None or approval.action == "ban")
            ):
                found = link, approval
        return found

    def set_mode(self, notice: SetMode) -> None:
        """Change the mode of a scenario, or of the service and all scenarios."""
        if notice.scenario is None:
            self._modes = {_SERVICE: notice.mode}
        else:
            self._modes[notice.scenario] = notice.mode

    def simulated(self, scenario: str) -> bool:
        """Whether a scenario's decisions are not meant: what was said last, else as configured."""
        said = self._modes.get(scenario) or self._modes.get(_SERVICE)
        configured = self._config.scenarios.get(scenario, self._config.mode)
        return (said or configured) != "enforce"

    def plan(self, notice: Calendar) -> None:
        """Take note of a planned event; one that has ended is called off."""
        event = Event(seconds(notice.starts_at), seconds(notice.ends_at), notice.tolerance)
        now_s = notice.issued_s
        _renew(self._events, notice.name, event, now_s, CALENDARS_MAX, lambda one: one.ends_s)

    def event(self, now_s: float) -> tuple[str, float]:
        """Return the planned event that goes on now and its tolerance; "" and 1 without one."""
        on = [(e.tolerance, n) for n, e in self._events.items() if e.starts_s <= now_s < e.ends_s]
        if not on:
            return NO_EVENT
        tolerance, name = max(on)
        return name, tolerance

    @property
    def has_events(self) -> bool:
        """Whether any planned event is known; without one nobody needs to ask for it."""
        return bool(self._events)

    def to_bytes(self) -> bytes:
        """Encode all of it."""
        return msgspec.msgpack.encode(
            _Wire(
                self._allowed,
                self.approved,
                self._modes,
                self._events,
                list(self._heard),
                list(self._verdicts),
                self.full_per_minute,
            )
        )

    def restore(self, data: bytes) -> None:
        """Take up what `to_bytes` encoded."""
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self._allowed, self.approved, self._modes = wire.allowed, wire.approved, wire.modes
        self._events, self._heard = wire.events, dict.fromkeys(wire.heard)
        self._verdicts = dict.fromkeys(wire.verdicts)
        self.full_per_minute = wire.full_per_minute
        self._find_ranges()


def _renew(
    items: dict[str, _Item],
    key: str,
    item: _Item,
    now_s: float,
    count_max: int,
    end_s: Callable[[_Item], float],
) -> None:
    """Put an item in place of what was said before; one that has ended as it is said ends that.

    What ended long ago is dropped, and beyond a number what ends first.
    """
    items.pop(key, None)
    if end_s(item) > now_s:
        items[key] = item
    for old in [old for old, each in items.items() if end_s(each) <= now_s - _LATE_S]:
        del items[old]
    while len(items) > count_max:
        del items[min(items, key=lambda old: (end_s(items[old]), old))]
