"""What applies to an account now: a pure function of the state topic's messages.

`streams.decision_store` feeds it from Kafka.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from models.decision import Decision
from models.request import ID_CHARS_MAX
from streams.codec import parse_rfc3339

#: A decision takes some 4 KB in memory, so 400 MB at the very most. A platform that has so many
#: in force at once has something else wrong with it.
DECISIONS_MAX = 100_000
#: A decision names at most 110 ids of 128 characters, which JSON may write in six bytes each.
MESSAGE_BYTES_MAX = 2**17
NO_LINKS: Mapping[str, str] = {}
#: Room is made for this share at once, so that a full store doesn't search for each message.
_EVICTED_SHARE = 0.01
#: How often what has run out is dropped from memory.
_SWEEP_INTERVAL_S = 60.0


class _Known(NamedTuple):
    """What is known of one subject.

    Parameters
    ----------
    revision
        The latest; a lower one is outdated.
    decision
        What is to be enforced, `None` if the latest asks for nothing.
    ends_s
        When the latest runs out, Unix seconds.
    """

    revision: int
    decision: Decision | None
    ends_s: float

    def at(self, now_s: float) -> Decision | None:
        return self.decision if now_s < self.ends_s else None


class InForce:
    """The decisions in force, from the messages of the state topic.

    One thread applies messages; any thread may ask meanwhile, since an answer is one look-up in a
    dictionary for each subject.

    A subject's message replaces the one before it, as it does in a compacted topic: a simulated
    decision, a `release`, a `review` and one that this version can't read all leave nothing to
    enforce. Only a lower revision is ignored: what a worker says again after a crash. A tombstone
    carries none, so nothing is remembered beyond it. It follows a `release` once no worker can
    repeat what that lifted, and else what has run out by itself.

    Parameters
    ----------
    decisions_max
        Subjects held at most. Beyond it those with nothing in force are forgotten first, then
        those that end soonest.
    """

    def __init__(self, decisions_max: int = DECISIONS_MAX) -> None:
        self._decisions_max = decisions_max
        self._known: dict[str, _Known] = {}
        self._next_sweep_s = 0.0
        #: Messages that are no decision which this version can enforce.
        self.strange = 0
        #: Decisions in force that were dropped for want of room.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, key: bytes | None, value: bytes | None, now_s: float) -> bool:
        """Take one message; return whether it changed what is to be enforced.

        Parameters
        ----------
        key, value
            As in Kafka: `scope:value` and the decision as JSON, or `None` for a tombstone.
        now_s
            The present moment, Unix seconds.
        """
        self.sweep(now_s)
        try:
            subject = (key or b"").decode()
        except UnicodeDecodeError:
            subject = ""
        if not subject:
            self.strange += 1
            return False
        decision = None if value is None else _read(subject, value)
        if decision is None:
            self.strange += value is not None
            lifted = self._known.pop(subject, None)
            return lifted is not None and lifted.at(now_s) is not None
        known = self._known.get(subject)
        if known is not None and decision.revision < known.revision:
            return False
        is_meant = decision.action in ("throttle", "ban") and not decision.simulated
        latest = _Known(decision.revision, decision if is_meant else None, _ends_s(decision))
        self._known[subject] = latest
        self._make_room(now_s)
        return latest.at(now_s) != (known.at(now_s) if known is not None else None)

    def applies(
        self, account_id: str, now_s: float, links: Mapping[str, str] = NO_LINKS
    ) -> Decision | None:
        """Return the strictest decision in force for an account, `None` if there is none.

        Parameters
        ----------
        account_id
            The account that asks for something.
        now_s
            The present moment, Unix seconds.
        links
            Its links as in its requests, such as `{"org": "example.com"}`: a decision about a
            group applies to those who carry the group's link.
        """
        strictest = self._at(f"account:{account_id}", now_s)
        for kind, value in links.items():
            decision = self._at(f"group:{kind}:{value}", now_s)
            if decision is not None and (
                strictest is None or _leeway(decision) < _leeway(strictest)
            ):
                strictest = decision
        return strictest

    def all(self, now_s: float) -> list[Decision]:
        """Return every decision in force, in no particular order."""
        known = list(self._known.values())  # in one step: another thread may add to them
        return [decision for each in known if (decision := each.at(now_s)) is not None]

    def next_end_s(self, now_s: float) -> float:
        """Return when the next decision in force runs out (Unix seconds), or infinity."""
        ends = (each.ends_s for each in list(self._known.values()) if each.at(now_s) is not None)
        return min(ends, default=float("inf"))

    def sweep(self, now_s: float) -> None:
        """Drop what has run out and need not be remembered, once in a while."""
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + _SWEEP_INTERVAL_S
        self._known = {
            subject: each for subject, each in self._known.items() if now_s < each.ends_s
        }

    def _at(self, subject: str, now_s: float) -> Decision | None:
        known = self._known.get(subject)
        return known.at(now_s) if known is not None else None

    def _make_room(self, now_s: float) -> None:
        if len(self._known) <= self._decisions_max:
            return
        spare = max(1, int(self._decisions_max * _EVICTED_SHARE))
        ends = [
            (each.ends_s if each.at(now_s) is not None else 0.0, subject)
            for subject, each in self._known.items()
        ]
        for ends_s, subject in heapq.nsmallest(spare, ends):
            del self._known[subject]
            self.evicted += ends_s > 0


def _leeway(decision: Decision) -> float:
    """Return the requests per minute that a decision lets through."""
    return 0.0 if decision.action == "ban" else decision.limit_per_minute or 0.0


def _ends_s(decision: Decision) -> float:
    return float("inf") if decision.expires_at is None else parse_rfc3339(decision.expires_at)


def _read(subject: str, value: bytes) -> Decision | None:
    """Return the decision about `subject`, `None` if it is none that can be enforced."""
    if len(value) > MESSAGE_BYTES_MAX:
        return None
    try:
        decision = _decode(value)
        _ends_s(decision)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return None
    fits = (
        decision.key == subject
        # It is told to the client, in a header too.
        and 0 < len(decision.decision_id) <= ID_CHARS_MAX
        and (decision.action != "throttle" or (decision.limit_per_minute or 0.0) > 0)
    )
    return decision if fits else None


_decode = msgspec.json.Decoder(Decision).decode
