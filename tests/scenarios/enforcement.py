"""What a detector asks for, and what a gateway makes of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from models.decision import Decision


class Ruling(NamedTuple):
    """What a detector asks for.

    Parameters
    ----------
    at
        Place in the batch of the request that tipped it.
    account_id
        Whom it is about.
    action
        A ban lets nothing through, a throttle a limit, a review of a group waits for a person.
    issued_s, until_s
        Event time, Unix seconds.
    limit_per_minute
        Requests let through by a throttle.
    refuses
        Whether the request itself was turned away: a limit in the gateway's path does that,
        whoever watches the stream comes after the answer.
    decision
        The whole decision, where there is one.
    """

    at: int
    account_id: str
    action: Literal["throttle", "ban", "review"]
    issued_s: float
    until_s: float
    limit_per_minute: float = 0.0
    refuses: bool = False
    decision: Decision | None = None


class Enforcement:
    """What a gateway would let through: a token bucket of one minute, nothing while banned."""

    def __init__(self) -> None:
        self._limit = 0.0
        self._banned_until_s = self._limited_until_s = 0.0
        self._tokens = 0.0
        self._at_s = 0.0

    def follow(self, ruling: Ruling) -> None:
        """Enforce a ruling from its own moment on."""
        if ruling.action == "ban":
            self._banned_until_s = ruling.until_s
        else:
            self._limit, self._limited_until_s = ruling.limit_per_minute, ruling.until_s
            self._tokens, self._at_s = min(self._limit, 1.0), ruling.issued_s

    def lets_through(self, now_s: float) -> bool:
        """Say whether a request passes now (Unix seconds, never earlier than the last)."""
        if now_s < self._banned_until_s:
            return False
        if now_s >= self._limited_until_s:
            return True
        # A limit below one a minute still has room for the one request that it saves up for.
        full = max(self._limit, 1.0)
        self._tokens = min(self._tokens + (now_s - self._at_s) * self._limit / 60, full)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
